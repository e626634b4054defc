//! Sees to it that no container outlives the emulator, not even one that is killed itself.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Keeps the list of living pids; when its input ends, whoever is left on it is killed.
const SCRIPT: &str = r#"live=" "
while read -r sign pid; do
  case $sign in
    +) live="$live$pid " ;;
    -) live="${live%% $pid *} ${live#* $pid }" ;;
  esac
done
for pid in $live; do kill -KILL "$pid" 2>/dev/null; done"#;

/// One small shell a set of functions, started with the first container. Where there is no shell, there is no watchdog.
#[derive(Debug, Default)]
pub(super) struct Watchdog(Mutex<Option<(Child, ChildStdin)>>);

impl Watchdog {
    pub(super) fn watch(&self, pid: u32) {
        let mut shell = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shell.is_none() {
            *shell = start();
        }
        tell(&mut shell, "+", pid);
    }

    pub(super) fn forget(&self, pid: u32) {
        tell(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), "-", pid);
    }
}

fn start() -> Option<(Child, ChildStdin)> {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(SCRIPT).env_clear().stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // A group of its own: Ctrl-C at a terminal must not end it before the emulator.
    let mut child = command.process_group(0).spawn().ok()?;
    let stdin = child.stdin.take()?;
    Some((child, stdin))
}

fn tell(shell: &mut Option<(Child, ChildStdin)>, sign: &str, pid: u32) {
    let Some((_, stdin)) = shell else { return };
    if writeln!(stdin, "{sign} {pid}").is_err() {
        *shell = None;
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let shell = self.0.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((mut child, stdin)) = shell {
            drop(stdin);
            // It ends by itself now, and waiting leaves no zombie.
            child.wait().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn whoever_is_on_the_list_at_the_end_is_killed() {
        let sleep = || Command::new("sleep").arg("60").spawn().expect("sleep");
        let (mut first, mut forgotten, mut last) = (sleep(), sleep(), sleep());
        let watchdog = Watchdog::default();
        for child in [&first, &forgotten, &last] {
            watchdog.watch(child.id());
        }
        watchdog.forget(forgotten.id());
        drop(watchdog);
        let until = Instant::now() + Duration::from_secs(10);
        for child in [&mut first, &mut last] {
            while child.try_wait().expect("a status").is_none() {
                assert!(Instant::now() < until, "not killed");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        assert!(forgotten.try_wait().expect("a status").is_none(), "no longer on the list");
        forgotten.kill().expect("killed");
        forgotten.wait().expect("reaped");
    }
}
