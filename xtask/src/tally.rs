//! Counting tests from what the test runners say.

use std::fmt;
use std::ops::AddAssign;

/// How many tests ended how. Prints as `N passed, N failed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    /// Tests that ran and held.
    pub(crate) passed: u64,
    /// Tests that did not hold, and parts of the run that could not be run.
    pub(crate) failed: u64,
}

impl Tally {
    /// What nextest's last summary line counts; `None` where it printed none.
    pub(crate) fn of_nextest(said: &str) -> Option<Self> {
        let summary = said
            .lines()
            .rev()
            .find(|line| line.trim_start().starts_with("Summary ["))?;
        let (_, counts) = summary.split_once(']')?;
        // "5 tests run: 4 passed (1 slow), 1 failed", or "3/5 tests run: ..." when it stopped early.
        let (run, ended) = counts.split_once(" run:")?;
        let run = number(run.trim().rsplit_once(' ')?.0.split('/').next()?)?;
        let passed = ended.split(',').find_map(|part| {
            let (count, what) = part.trim().split_once(' ')?;
            what.starts_with("passed").then(|| number(count))?
        })?;
        Some(Self {
            passed,
            failed: run - passed,
        })
    }

    /// What the lines `test result: ...` of `cargo test` add up to; `None` where there are none.
    pub(crate) fn of_cargo_test(said: &str) -> Option<Self> {
        let mut tally = None;
        for line in said
            .lines()
            .filter_map(|line| line.trim().strip_prefix("test result: "))
        {
            let count = |what| {
                let parts = line.split([';', '.']).map(str::trim);
                parts
                    .filter_map(|part| part.strip_suffix(what))
                    .find_map(|n| number(n.trim()))
            };
            *tally.get_or_insert_with(Self::default) += Self {
                passed: count("passed")?,
                failed: count("failed")?,
            };
        }
        tally
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nextest_summaries_are_counted() {
        let count = |summary| Tally::of_nextest(summary).unwrap();
        let all = "     Summary [   0.003s] 12 tests run: 12 passed, 1 skipped\n";
        assert_eq!(
            count(all),
            Tally {
                passed: 12,
                failed: 0
            }
        );
        let some =
            "x\n Summary [ 1.2s] 5 tests run: 3 passed (1 slow), 1 failed, 1 timed out\nFAIL x";
        assert_eq!(
            count(some),
            Tally {
                passed: 3,
                failed: 2
            }
        );
        let early = " Summary [ 1.2s] 3/5 tests run: 2 passed, 1 failed, 0 skipped";
        assert_eq!(
            count(early),
            Tally {
                passed: 2,
                failed: 1
            }
        );
        let one = " Summary [ 1.2s] 1 test run: 0 passed, 1 failed, 0 skipped";
        assert_eq!(
            count(one),
            Tally {
                passed: 0,
                failed: 1
            }
        );
        assert_eq!(Tally::of_nextest("error: could not compile"), None);
    }

    #[test]
    fn cargo_test_results_add_up() {
        let said = "test result: ok. 3 passed; 0 failed; 0 ignored; finished in 0.00s\n\
                    test result: FAILED. 1 passed; 2 failed; 0 ignored; finished in 0.00s\n";
        assert_eq!(
            Tally::of_cargo_test(said),
            Some(Tally {
                passed: 4,
                failed: 2
            })
        );
        assert_eq!(Tally::of_cargo_test("error: could not compile"), None);
    }

    #[test]
    fn the_last_line_is_what_callers_expect() {
        assert_eq!(
            Tally {
                passed: 7,
                failed: 1
            }
            .to_string(),
            "7 passed, 1 failed"
        );
    }
}
