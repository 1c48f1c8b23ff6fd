//! Gives every worker a kernel, all of one engine, before any of them serves: a ring may be
//! refused to the last one, when those before it have used up the memory that may be locked.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::workers::{self, Engine, Made, Recruit, Seed, Unmade};
use crate::config::EngineChoice;
use crate::error::StartError;
use crate::kernel::{KernelOptions, uring};
use crate::limits::HELLO_BUFFER_COUNT;
use crate::sys::waker::Waker;

/// Where a worker will work.
#[derive(Debug)]
pub(crate) struct Post {
    listeners: Vec<OwnedFd>,
    waker: Arc<Waker>,
    reader: OwnedFd,
    cpu: Option<usize>,
}

impl Post {
    /// A post at these listeners, on this CPU or on any.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn new(listeners: Vec<OwnedFd>, cpu: Option<usize>) -> Result<Self, StartError> {
        let (waker, reader) = Waker::pair().map_err(StartError::system("eventfd"))?;
        Ok(Self { listeners, waker: Arc::new(waker), reader, cpu })
    }

    /// Duplicates: a kernel that could not be made has taken its own with it.
    fn options(&self, spin: Duration) -> io::Result<KernelOptions> {
        let listeners: io::Result<_> = self.listeners.iter().map(OwnedFd::try_clone).collect();
        Ok(KernelOptions {
            listeners: listeners?,
            waker: self.reader.try_clone()?,
            hello_buffer_count: HELLO_BUFFER_COUNT,
            spin,
        })
    }
}

/// Workers with their kernels, waiting to begin.
#[derive(Debug)]
pub(crate) struct Crew {
    pub(crate) engine: Engine,
    /// Why it is not io_uring, if that was wanted.
    pub(crate) fallback: Option<String>,
    pub(crate) members: Vec<Member>,
}

/// One of a [`Crew`].
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) recruit: Recruit,
    pub(crate) waker: Arc<Waker>,
    pub(crate) listener_count: u16,
}

impl Crew {
    /// Mans the posts, with the engine chosen.
    ///
    /// # Errors
    /// The engine demanded is refused, or no engine would do.
    pub(crate) fn muster(
        choice: EngineChoice,
        posts: Vec<Post>,
        spin: Duration,
    ) -> Result<Self, StartError> {
        let mut fallback = None;
        if choice != EngineChoice::Epoll {
            match with_rings(&posts, spin)? {
                Ok(recruits) => return Ok(Self::of(Engine::Uring, None, recruits, posts)),
                Err(why) if choice == EngineChoice::Uring => {
                    return Err(StartError::EngineRefused(why));
                }
                Err(why) => fallback = Some(why),
            }
        }
        let recruits = match recruit(&posts, Engine::Epoll, spin)? {
            Ok(recruits) => recruits,
            Err(refusal) => return Err(refusal.into_error(Engine::Epoll)),
        };
        Ok(Self::of(Engine::Epoll, fallback, recruits, posts))
    }

    fn of(
        engine: Engine,
        fallback: Option<String>,
        recruits: Vec<Recruit>,
        posts: Vec<Post>,
    ) -> Self {
        // The posts' own descriptors are closed here: a worker that closes its listener is to
        // close the last of them.
        let member = |(recruit, post): (_, Post)| Member {
            recruit,
            waker: post.waker,
            listener_count: u16::try_from(post.listeners.len()).unwrap_or(u16::MAX),
        };
        Self { engine, fallback, members: recruits.into_iter().zip(posts).map(member).collect() }
    }
}

/// Rings for all, or why not.
fn with_rings(posts: &[Post], spin: Duration) -> Result<Result<Vec<Recruit>, String>, StartError> {
    if let Err(refused) = uring::probe() {
        return Ok(Err(refused.to_string()));
    }
    match recruit(posts, Engine::Uring, spin)? {
        Ok(recruits) => Ok(Ok(recruits)),
        Err(Refusal { why: Unmade::Ring(refused), made_count, .. }) => {
            let count = posts.len();
            Ok(Err(format!("only {made_count} of {count} workers could have a ring: {refused}")))
        }
        Err(refusal) => Err(refusal.into_error(Engine::Uring)),
    }
}

/// One worker, and perhaps others, got no kernel.
struct Refusal {
    worker: u16,
    why: Unmade,
    /// How many did get one.
    made_count: usize,
}

impl Refusal {
    fn into_error(self, engine: Engine) -> StartError {
        let Self { worker, why, .. } = self;
        StartError::WorkerFailed { worker, engine: engine.name(), reason: why.to_string() }
    }
}

/// Starts the threads, and waits until each has its kernel. If one has not, none is left.
fn recruit(
    posts: &[Post],
    engine: Engine,
    spin: Duration,
) -> Result<Result<Vec<Recruit>, Refusal>, StartError> {
    let (tell, made) = channel();
    let mut recruits = Vec::new();
    for (id, post) in (0..).zip(posts) {
        let options = post.options(spin).map_err(StartError::system("dup"))?;
        let seed = Seed { id, engine, options, cpu: post.cpu };
        let recruit = workers::start(seed, tell.clone());
        recruits.push(recruit.map_err(StartError::system("starting a worker's thread"))?);
    }
    drop(tell);
    let made: Vec<Made> = made.iter().collect();
    let made_count = made.iter().filter(|(_, result)| result.is_ok()).count();
    let refused = made.into_iter().find_map(|(worker, result)| Some((worker, result.err()?)));
    let Some((worker, why)) = refused else { return Ok(Ok(recruits)) };
    for Recruit { thread, begin } in recruits {
        drop(begin);
        // Its kernel and its descriptors are gone then.
        let _ = thread.join();
    }
    Ok(Err(Refusal { worker, why, made_count }))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn post(listener: impl Into<OwnedFd>) -> Post {
        Post::new(vec![listener.into()], None).unwrap()
    }

    #[test]
    fn a_crew_that_is_dismissed_leaves_neither_threads_nor_listeners() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let posts = vec![post(listener)];
        let crew = Crew::muster(EngineChoice::Epoll, posts, Duration::ZERO).unwrap();
        assert_eq!((crew.engine, crew.fallback), (Engine::Epoll, None));
        assert!(TcpStream::connect(address).is_ok(), "it listens");
        for Member { recruit: Recruit { thread, begin }, .. } in crew.members {
            drop(begin);
            thread.join().unwrap();
        }
        assert!(TcpStream::connect(address).is_err(), "nobody holds the listener");
    }

    #[test]
    fn what_no_engine_could_do_is_not_blamed_on_one() {
        for choice in [EngineChoice::Auto, EngineChoice::Uring, EngineChoice::Epoll] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let (_waker, no_listener) = Waker::pair().unwrap();
            let posts = vec![post(listener), post(no_listener)];
            match Crew::muster(choice, posts, Duration::ZERO) {
                Err(StartError::WorkerFailed { worker: 1, reason, .. }) => {
                    assert!(!reason.contains("--engine"), "{reason}");
                }
                // Where there is no io_uring at all.
                Err(StartError::EngineRefused(_)) if uring::probe().is_err() => {}
                other => panic!("{choice:?}: {other:?}"),
            }
        }
    }
}
