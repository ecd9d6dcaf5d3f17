//! How do many floats add up without losing the small ones? By Kahan's summation in Neumaier's version.

/// A sum and what rounding took from it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct KahanSum {
    /// The sum as plain addition has it.
    pub sum: f64,
    /// What is to be added to it at the end.
    pub compensation: f64,
}

impl KahanSum {
    /// Adds a number. Once the sum is infinite nothing is left to compensate.
    #[inline]
    pub fn add(&mut self, number: f64) {
        let sum = self.sum + number;
        if sum.is_infinite() {
            self.compensation = 0.0;
        } else if self.sum.abs() >= number.abs() {
            self.compensation += (self.sum - sum) + number;
        } else {
            self.compensation += (number - sum) + self.sum;
        }
        self.sum = sum;
    }

    /// Adds another sum with its compensation.
    #[inline]
    pub fn merge(&mut self, other: Self) {
        self.add(other.sum);
        self.add(other.compensation);
    }

    /// The sum with its compensation.
    #[inline]
    pub fn total(self) -> f64 {
        self.sum + self.compensation
    }

    /// Both parts changed by one function, as by a factor.
    #[inline]
    #[must_use]
    pub fn map(self, change: impl Fn(f64) -> f64) -> Self {
        Self { sum: change(self.sum), compensation: change(self.compensation) }
    }
}

impl From<f64> for KahanSum {
    fn from(sum: f64) -> Self {
        Self { sum, compensation: 0.0 }
    }
}
