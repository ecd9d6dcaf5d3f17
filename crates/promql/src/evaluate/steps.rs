//! Which moments does an evaluation look at?

use causeway_model::{Error, Result};

/// Moments at one distance from each other, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Steps {
    pub start_ms: i64,
    pub step_ms: i64,
    pub count: usize,
}

impl Steps {
    /// From `start_ms` to `end_ms`, both included; none of them where the end is before the start.
    pub fn new(start_ms: i64, end_ms: i64, step_ms: i64) -> Result<Self> {
        if end_ms < start_ms {
            return Ok(Self { start_ms, step_ms, count: 0 });
        }
        if step_ms <= 0 {
            return Ok(Self { start_ms, step_ms: 0, count: 1 });
        }
        let span = end_ms.checked_sub(start_ms).ok_or_else(|| Error::invalid("the window is too long"))?;
        let count = usize::try_from(span / step_ms).ok().and_then(|steps| steps.checked_add(1));
        Ok(Self { start_ms, step_ms, count: count.ok_or_else(|| Error::invalid("the window has too many steps"))? })
    }

    /// The moment of a step.
    #[inline]
    pub fn time_ms(&self, step: usize) -> i64 {
        self.start_ms.saturating_add(self.step_ms.saturating_mul(step as i64))
    }

    /// The last moment.
    pub fn end_ms(&self) -> i64 {
        self.time_ms(self.count.saturating_sub(1))
    }

    /// The first moment alone.
    pub fn first(&self) -> Self {
        Self { count: self.count.min(1), ..*self }
    }
}

/// The moment that a selector means by a step: `@` and `offset`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reference {
    pub at_ms: Option<i64>,
    pub offset_ms: i64,
}

impl Reference {
    /// As seen at a moment of the evaluation.
    #[inline]
    pub fn of(&self, time_ms: i64) -> i64 {
        self.at_ms.unwrap_or(time_ms).saturating_sub(self.offset_ms)
    }

    /// The earliest and the latest of some steps.
    pub fn bounds(&self, steps: &Steps) -> (i64, i64) {
        (self.of(steps.start_ms), self.of(steps.end_ms()))
    }
}
