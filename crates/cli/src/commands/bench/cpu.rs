//! CPU time of a process, as Linux counts it.

use std::time::Duration;

use crate::report::Failure;

/// Clock ticks a second in `/proc`: fixed at 100 for programs on Linux, whatever the kernel's own.
const TICKS_PER_SECOND: u64 = 100;

/// User and system time that a process has used so far, all threads, also those that have ended.
pub(super) fn used(pid: u32) -> Result<Duration, Failure> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path)
        .map_err(|error| Failure::unreadable(format!("cannot read {path}")).because(error))?;
    parse(&stat).ok_or_else(|| Failure::unreadable(format!("{path} has another form")))
}

/// Fields 14 and 15 (proc_pid_stat(5)), counted after the name, which may have spaces and brackets.
fn parse(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis(
        (user + system) * 1000 / TICKS_PER_SECOND,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_found_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 150 25 0 0 20 0 4 0 100 1 1";
        assert_eq!(parse(stat), Some(Duration::from_millis(1750)));
        assert_eq!(parse("7 (a"), None);
    }

    #[test]
    fn this_process_can_be_asked() {
        assert!(used(std::process::id()).is_ok());
    }
}
