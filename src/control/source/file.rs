//! Routes from a file.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::Reread;
use super::routes_file::{Look, RoutesFile};
use crate::config::SessionLimits;
use crate::control::resolver::Host;
use crate::error::StartError;
use crate::route::Routes;
use crate::route::standalone::RouteFile;

/// A routes file, and the last right contents of it.
#[derive(Debug)]
pub(crate) struct FileSource {
    file: RoutesFile,
    routes: RouteFile,
}

impl FileSource {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// It cannot be read, or it is wrong.
    pub(crate) fn open(path: PathBuf) -> Result<Self, StartError> {
        let mut file = RoutesFile::new(path.clone());
        let text = match file.look() {
            Look::Changed(text) => text,
            Look::Same => String::new(),
            Look::Unreadable(source) => return Err(StartError::RoutesUnread { path, source }),
        };
        let routes = parse(&text, &path).map_err(StartError::RoutesInvalid)?;
        Ok(Self { file, routes })
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Looks at the file, and says whether it has other routes now. `anew`: as if nothing was
    /// known of it.
    pub(crate) fn look(&mut self, anew: bool) -> Reread {
        let look = if anew { self.file.look_anew() } else { self.file.look() };
        let path = self.file.path().display();
        match look {
            Look::Same => Reread::Same,
            Look::Unreadable(error) => {
                tracing::error!(%error, "cannot read {path}; the routes in use are kept");
                Reread::Refused
            }
            Look::Changed(text) => match parse(&text, self.file.path()) {
                Ok(routes) => {
                    self.routes = routes;
                    Reread::Changed
                }
                Err(problems) => {
                    tracing::error!("{problems}; the routes in use are kept");
                    Reread::Refused
                }
            },
        }
    }

    pub(super) fn hosts(&self) -> BTreeSet<Host> {
        self.routes.hosts().map(|(name, port)| (name.to_owned(), port)).collect()
    }

    pub(super) fn routes(
        &self,
        sessions: &SessionLimits,
        lookup: impl FnMut(&str, u16) -> Vec<SocketAddr>,
    ) -> Routes {
        let mut routes = self.routes.resolve(sessions.connect_timeout, lookup);
        for cluster in &mut routes.clusters {
            cluster.panic_threshold_percent = sessions.panic_threshold_percent;
        }
        routes
    }
}

/// Parses a routes file; what is wrong comes as one text with a line for each.
pub(crate) fn parse(text: &str, path: &Path) -> Result<RouteFile, String> {
    RouteFile::parse(text, &path.display().to_string())
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}
