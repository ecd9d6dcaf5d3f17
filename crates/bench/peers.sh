#!/bin/sh
# Which programs is Causeway measured beside? Installs them into a directory outside the checkout:
#   crates/bench/peers.sh DIRECTORY
# What can't be had is left out; the benchmark says so.
set -u
directory=${1:?"usage: peers.sh DIRECTORY"}
mkdir -p "$directory/bin" "$directory/build"
directory=$(cd "$directory" && pwd)

# VictoriaLogs asks for a VictoriaMetrics commit that the module proxy does not always serve; a release just after it
# has the same interfaces, hence a module of our own that raises it.
victoria_logs=v1.51.1-0.20260624061259-dc94972a8708
victoria_logs_library=v1.148.8
victoria_metrics=v1.151.0
chdb=4.4.0

export GOFLAGS="-p=1 -buildvcs=false -mod=mod"

build() { # NAME VERSION MODULE PACKAGE [MODULE@VERSION]
    name=$1 version=$2 module=$3 package=$4 library=${5:-}
    what="$version${library:+ with $library}"
    [ -x "$directory/bin/$name" ] && [ "$(cat "$directory/$name.version" 2>/dev/null)" = "$what" ] && return
    mkdir -p "$directory/build/$name"
    (
        cd "$directory/build/$name" || exit 1
        [ -f go.mod ] || go mod init "peer/$name" || exit 1
        go get "$module/$package@$version" $library || exit 1
        nice go build -o "$directory/bin/$name" "$module/$package"
    ) && echo "$what" >"$directory/$name.version" || echo "peers.sh: $name could not be built" >&2
}

if command -v go >/dev/null; then
    build victoria-logs "$victoria_logs" github.com/VictoriaMetrics/VictoriaLogs app/victoria-logs \
        "github.com/VictoriaMetrics/VictoriaMetrics@$victoria_logs_library"
    build victoria-metrics "$victoria_metrics" github.com/VictoriaMetrics/VictoriaMetrics app/victoria-metrics
else
    echo "peers.sh: no Go toolchain, so no VictoriaLogs and no VictoriaMetrics" >&2
fi

# Debian's package, unpacked and not installed: no service is started, nothing outside of the directory is touched.
if command -v apt-get >/dev/null && [ ! -x "$directory/bin/prometheus" ]; then
    rm -rf "$directory/build/prometheus"
    mkdir -p "$directory/build/prometheus"
    (
        cd "$directory/build/prometheus" || exit 1
        apt-get download --quiet prometheus || exit 1
        dpkg -x prometheus_*.deb . || exit 1
        cp usr/bin/prometheus "$directory/bin/prometheus"
    ) || echo "peers.sh: prometheus could not be unpacked" >&2
fi

if [ ! -x "$directory/venv/bin/python" ]; then
    python3 -m venv "$directory/venv" && "$directory/venv/bin/pip" install --quiet "chdb==$chdb" || {
        rm -rf "$directory/venv"
        echo "peers.sh: chdb could not be installed" >&2
    }
fi
