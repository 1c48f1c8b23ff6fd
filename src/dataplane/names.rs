//! The server names of live sessions, each held once.
//!
//! Many sessions share few names, so a session keeps a pointer and the access log still gets
//! the whole name, however long.

use std::collections::HashSet;
use std::rc::Rc;

/// A server name in use.
pub(crate) type Name = Rc<str>;

/// The names in use. Keyed by the standard library's randomized hash: peers choose the names.
#[derive(Default)]
pub(crate) struct Names(HashSet<Name>);

impl Names {
    /// The shared copy of a name.
    pub(crate) fn intern(&mut self, name: &str) -> Name {
        if let Some(known) = self.0.get(name) {
            return Rc::clone(known);
        }
        let name: Name = name.into();
        self.0.insert(Rc::clone(&name));
        name
    }

    /// Gives a name back; the last one frees it.
    pub(crate) fn give_back(&mut self, name: Name) {
        if Rc::strong_count(&name) <= 2 {
            self.0.remove(&name);
        }
    }

    /// How many different names are in use.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_held_once_and_freed_with_its_last_user() {
        let mut names = Names::default();
        let (first, second) = (names.intern("a.example"), names.intern("a.example"));
        assert!(Rc::ptr_eq(&first, &second));
        names.give_back(first);
        assert_eq!(names.len(), 1);
        names.give_back(second);
        assert_eq!(names.len(), 0);
    }
}
