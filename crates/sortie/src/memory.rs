//! The allocator, wrapped so that it counts what each thread holds.
//!
//! Conditions run under a memory budget, and the limits of the script engine alone do not keep it. The count is per
//! thread, costs an addition, and never allocates. A block that one thread allocates and another frees is counted up
//! here and down there, so a thread's count means something only as a difference within one piece of work.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

/// The bytes that this thread has allocated, less those that it has freed.
pub(crate) fn allocated() -> isize {
    HELD.try_with(Cell::get).unwrap_or(0)
}

/// A layout's size always fits: `Layout` refuses more than `isize::MAX` bytes.
fn count(bytes: isize) {
    let _ = HELD.try_with(|held| held.set(held.get().wrapping_add(bytes)));
}

/// Every block of the allocator begins at a multiple of this many bytes, whatever its size.
const NATURAL_ALIGN: usize = size_of::<usize>();

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "an allocator can only be written so; each method passes its own contract on unchanged")]
// SAFETY: every method hands its arguments to mimalloc and answers what that answered. What needs no more than the
// natural alignment goes the plain way, which keeps the contract by [`NATURAL_ALIGN`]; the way for other alignments takes
// larger blocks than needed for all sizes that are no power of two. The counting touches a thread-local without a
// destructor and does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let block = if layout.align() <= NATURAL_ALIGN {
            // SAFETY: the caller keeps the contract of `alloc`; mimalloc takes any size.
            unsafe { libmimalloc_sys::mi_malloc(layout.size()) }
        } else {
            // SAFETY: as above; the alignment of a layout is a power of two.
            unsafe { libmimalloc_sys::mi_malloc_aligned(layout.size(), layout.align()) }
        };
        if !block.is_null() {
            count(layout.size().cast_signed());
        }
        block.cast()
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let block = if layout.align() <= NATURAL_ALIGN {
            // SAFETY: the caller keeps the contract of `alloc_zeroed`; mimalloc takes any size.
            unsafe { libmimalloc_sys::mi_zalloc(layout.size()) }
        } else {
            // SAFETY: as above; the alignment of a layout is a power of two.
            unsafe { libmimalloc_sys::mi_zalloc_aligned(layout.size(), layout.align()) }
        };
        if !block.is_null() {
            count(layout.size().cast_signed());
        }
        block.cast()
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `dealloc`: the block came from here, and so from mimalloc.
        unsafe { libmimalloc_sys::mi_free(block.cast()) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `realloc`. Up to the natural alignment this goes the plain way itself.
        let moved = unsafe { libmimalloc_sys::mi_realloc_aligned(block.cast(), size, layout.align()) };
        if !moved.is_null() {
            count(size.cast_signed() - layout.size().cast_signed());
        }
        moved.cast()
    }
}

#[cfg(test)]
mod tests {
    use super::allocated;

    #[test]
    fn what_a_thread_holds_is_counted_until_it_is_freed() {
        let before = allocated();
        let mut block = std::hint::black_box(vec![1_u8; 1 << 20]);
        assert!(allocated() - before >= 1 << 20);
        block.reserve_exact(1 << 21);
        assert!(allocated() - before >= 3 << 20);
        drop(block);
        assert!((allocated() - before).abs() < 1 << 16);
    }

    #[test]
    fn another_thread_does_not_count_here() {
        let before = allocated();
        let elsewhere = std::thread::spawn(|| {
            let before = allocated();
            let block = std::hint::black_box(vec![0_u8; 1 << 22]);
            let seen = allocated() - before;
            drop(block);
            seen
        });
        assert!(elsewhere.join().unwrap() >= 1 << 22);
        assert!((allocated() - before).abs() < 1 << 20);
    }
}
