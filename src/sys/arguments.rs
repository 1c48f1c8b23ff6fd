//! What others see of a process's command line (proc(5), `/proc/PID/cmdline`).

use std::fs;
use std::io;

/// The fields of proc(5)'s `stat` that say where the words of the command line lie, counted from
/// the one after the name, which is the third.
const ARG_START: usize = 48 - 3;
const ARG_END: usize = 49 - 3;

/// The bytes of this process's command line that `ps` shows, where they lie.
///
/// # Errors
/// `/proc` is not there, or says nothing.
fn place() -> io::Result<(usize, usize)> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name is in parentheses, and may have any character in it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |index: usize| fields.get(index).and_then(|field| field.parse::<usize>().ok());
    match (field(ARG_START), field(ARG_END)) {
        (Some(start), Some(end)) if 0 < start && start < end => Ok((start, end)),
        _ => Err(io::Error::other("/proc/self/stat does not say where the command line lies")),
    }
}

/// Overwrites parts of the command line that others see. `parts`: finds, in all words with a zero
/// byte behind each, what is to be hidden.
///
/// To be called before there is another thread: whoever asks for the command line after it gets
/// what is left.
///
/// # Errors
/// `/proc` is not there, or says nothing.
pub fn hide(parts: impl FnOnce(&[u8]) -> Vec<std::ops::Range<usize>>) -> io::Result<()> {
    let (start, end) = place()?;
    let at = std::ptr::with_exposed_provenance_mut::<u8>(start);
    // SAFETY: from_raw_parts_mut requires memory that is valid for reads and writes, initialized,
    // and not referred to by anyone else while the slice lives. execve(2) puts the words there,
    // on the stack of the process, readable and writable for as long as it lives; no Rust object
    // lies there: std copies the words out of it whenever it is asked for them, and nobody asks
    // meanwhile, because there is one thread.
    let words = unsafe { std::slice::from_raw_parts_mut(at, end.saturating_sub(start)) };
    for part in parts(words) {
        if let Some(part) = words.get_mut(part) {
            part.fill(b'*');
        }
    }
    Ok(())
}
