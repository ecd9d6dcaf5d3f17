#!/bin/sh
# Cargo's RUSTC_WRAPPER for `make fuzz`: compiles our own crates so that libFuzzer sees which code ran, and the others as they are.
set -e
for argument; do
	case $argument in
	causeway_*)
		set -- "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
			-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
		break
		;;
	esac
done
exec "$@"
