//! A place for one boxed value, shared by two threads without a lock.

use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// At most one `Box<T>`, put and taken from any thread.
///
/// Looking into an empty slot is one load; only an exchange of values is a read-modify-write.
#[derive(Debug)]
pub struct Slot<T> {
    /// Null, or a pointer from [`Box::into_raw`] that nobody else holds.
    value: AtomicPtr<T>,
    owns: PhantomData<Box<T>>,
}

// SAFETY: a shared slot only ever hands whole boxes from one thread to another, by an atomic
// swap, so that at any time one thread owns the value: that asks for `T: Send`. No `&T` is ever
// made through `&Slot<T>`, so `T: Sync` is not needed.
unsafe impl<T: Send> Sync for Slot<T> {}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { value: AtomicPtr::new(ptr::null_mut()), owns: PhantomData }
    }
}

impl<T> Slot<T> {
    /// Puts a value, and returns the one it displaced.
    pub fn put(&self, value: Box<T>) -> Option<Box<T>> {
        self.exchange(Box::into_raw(value))
    }

    /// Takes the value out, if there is one.
    #[inline]
    pub fn take(&self) -> Option<Box<T>> {
        // Relaxed is enough: a stale null only means "not yet", and the exchange synchronises.
        if self.value.load(Ordering::Relaxed).is_null() {
            return None;
        }
        self.exchange(ptr::null_mut())
    }

    fn exchange(&self, new: *mut T) -> Option<Box<T>> {
        // Release publishes what is behind `new`; Acquire makes what is behind `old` visible.
        let old = self.value.swap(new, Ordering::AcqRel);
        if old.is_null() {
            return None;
        }
        // SAFETY: `Box::from_raw` asks for a pointer from `Box::into_raw` that is owned and not
        // used afterwards. Only `put` stores non-null pointers, and it gets them from
        // `into_raw`; the swap gives each stored pointer to exactly one caller.
        Some(unsafe { Box::from_raw(old) })
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        drop(self.exchange(ptr::null_mut()));
    }
}

#[cfg(test)]
mod tests;
