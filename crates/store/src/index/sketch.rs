//! About how many distinct values were there? A HyperLogLog sketch (Flajolet, Fusy, Gandouet, Meunier 2007) that merges exactly.

/// Registers of a sketch. 128: a standard error of 9 %, good enough to choose an encoding and to rank keys, at 128 bytes a key.
pub(crate) const REGISTERS: usize = 128;

/// Counts distinct hashes approximately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sketch {
    registers: [u8; REGISTERS],
}

impl Sketch {
    pub(crate) fn new() -> Self {
        Self { registers: [0; REGISTERS] }
    }

    pub(crate) fn from_registers(registers: [u8; REGISTERS]) -> Self {
        Self { registers }
    }

    pub(crate) fn registers(&self) -> &[u8; REGISTERS] {
        &self.registers
    }

    /// Adds a hash; adding it again changes nothing.
    #[inline]
    pub(crate) fn add(&mut self, hash: u64) {
        let register = &mut self.registers[(hash as usize) % REGISTERS];
        let zeros = (hash >> REGISTERS.trailing_zeros()).leading_zeros() - REGISTERS.trailing_zeros() + 1;
        *register = (*register).max(zeros as u8);
    }

    /// Adds all that another sketch has seen.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.registers.iter_mut().zip(other.registers) {
            *mine = (*mine).max(theirs);
        }
    }

    /// The estimate.
    pub(crate) fn estimate(&self) -> u64 {
        let count = REGISTERS as f64;
        let sum: f64 = self.registers.iter().map(|register| 0.5f64.powi(i32::from(*register))).sum();
        let raw = 0.7213 / (1.0 + 1.079 / count) * count * count / sum;
        let empty = self.registers.iter().filter(|register| **register == 0).count();
        let estimate = if raw <= 2.5 * count && empty > 0 { count * (count / empty as f64).ln() } else { raw };
        estimate.round() as u64
    }
}
