//! Man pages and completions, from the definitions of the command line.

use std::fs;
use std::io::Write;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Command;
use crate::error::StartError;

/// Writes a man page for `sluice`, and one for each of its commands, into a folder.
///
/// # Errors
/// The folder, or a page in it, cannot be written.
pub fn pages(folder: &Path) -> Result<(), StartError> {
    let written = fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Command::command(), folder));
    written.map_err(StartError::system("writing the man pages"))
}

/// Writes what completes command lines in this shell.
///
/// # Errors
/// Writing fails.
pub fn completions(shell: Shell, out: &mut dyn Write) -> Result<(), StartError> {
    // Into memory first: the generator panics where it cannot write.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Command::command(), "sluice", &mut text);
    out.write_all(&text).map_err(StartError::system("writing"))
}
