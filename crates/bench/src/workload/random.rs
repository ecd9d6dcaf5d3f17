//! Where does the workload's chance come from? From one seed, the same on every machine and with every compiler.

use causeway_model::Rng;

/// Each trace has its own, so that any trace can be made without those before it.
#[derive(Debug, Clone)]
pub struct Random(Rng);

impl Random {
    /// The generator of this stream of this seed.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut random = Rng::from_seed(seed ^ stream.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        // Neighbouring streams begin with neighbouring states; one step parts them.
        Self(Rng::from_seed(random.next_u64()))
    }

    /// 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from 0 to below `end`. The bias of the multiplication is far below what a benchmark sees.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0.below(end)
    }

    /// A number from 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        self.0.unit()
    }

    /// True this often.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A log-normal number with this median; `sigma` is the deviation of its logarithm.
    pub fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.unit()).cos();
        median * (sigma * normal).exp()
    }

    /// One of these; the list is not empty.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }

    /// 16 bytes.
    pub fn id128(&mut self) -> [u8; 16] {
        ((u128::from(self.next()) << 64) | u128::from(self.next())).to_be_bytes()
    }

    /// 8 bytes.
    pub fn id64(&mut self) -> [u8; 8] {
        self.next().to_be_bytes()
    }
}
