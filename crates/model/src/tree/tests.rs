//! Agreement with RFC 9162, on trees of every size up to 300, by its own recursive definition; and what is refused.

use std::collections::BTreeMap;
use std::convert::Infallible;

use super::*;

const SIZES: u64 = 300;

fn leaves(size: u64) -> Vec<Digest> {
    (0..size).map(|n| leaf(&n.to_be_bytes())).collect()
}

/// The definition (RFC 9162 §2.1.1), word for word.
fn defined(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => empty(),
        [one] => *one,
        _ => {
            let mut k = 1;
            while k * 2 < leaves.len() {
                k *= 2;
            }
            node(&defined(&leaves[..k]), &defined(&leaves[k..]))
        }
    }
}

/// Hashes of perfect subtrees over leaves, height by height.
fn heights(leaves: &[Digest]) -> Vec<Vec<Digest>> {
    let mut heights = vec![leaves.to_vec()];
    while let Some(last) = heights.last().filter(|last| last.len() > 1) {
        let above = last.chunks_exact(2).map(|pair| node(&pair[0], &pair[1])).collect();
        heights.push(above);
    }
    heights
}

fn from_leaves(leaves: &[Digest]) -> impl FnMut(u8, u64) -> Result<Digest, Infallible> + use<> {
    let heights = heights(leaves);
    move |height, index| Ok(heights[usize::from(height)][usize::try_from(index).unwrap()])
}

fn sure<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

#[test]
fn the_root_of_every_size_is_the_one_of_the_definition() {
    assert_eq!(empty().to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    let all = leaves(SIZES);
    let mut tree = Tree::new();
    let mut full = Vec::new();
    for size in 0..=SIZES {
        let known = &all[..usize::try_from(size).unwrap()];
        assert_eq!((tree.size(), tree.root()), (size, defined(known)));
        assert_eq!(sure(root(size, &mut from_leaves(known))), tree.root());
        if let Some(next) = all.get(known.len()) {
            tree.push(*next, &mut full);
        }
    }
    assert_eq!(full.len(), 1);
    assert_eq!((full[0].level, full[0].index, &full[0].hashes[..]), (0, 0, &all[..256]));
}

#[test]
fn every_leaf_of_every_size_has_a_proof_and_no_wrong_one_passes() {
    let all = leaves(SIZES);
    for size in 1..=SIZES {
        let known = &all[..usize::try_from(size).unwrap()];
        let top = defined(known);
        let mut hashes = from_leaves(known);
        for index in (0..size).filter(|index| size < 40 || index % 7 == size % 7 || index + 3 > size) {
            let proof = sure(inclusion(index, size, &mut hashes)).unwrap();
            let own = known[usize::try_from(index).unwrap()];
            assert_eq!(verify_inclusion(index, size, own, &proof, top), Ok(()), "{index} of {size}");
            let longer: Vec<Digest> = proof.iter().copied().chain([own]).collect();
            assert_eq!(verify_inclusion(index, size, own, &longer, top), Err(Refused::Length));
            if let Some((_, shorter)) = proof.split_last() {
                assert!(verify_inclusion(index, size, own, shorter, top).is_err());
            }
            assert_eq!(verify_inclusion(size, size, own, &proof, top), Err(Refused::Outside));
            assert_eq!(verify_inclusion(index, size, top_of(own), &proof, top), Err(Refused::Root));
            for at in 0..proof.len() {
                let mut wrong = proof.clone();
                wrong[at].0[7] ^= 1;
                assert_eq!(verify_inclusion(index, size, own, &wrong, top), Err(Refused::Root));
            }
        }
        assert!(sure(inclusion(size, size, &mut hashes)).is_none());
    }
    assert_eq!(verify_inclusion(0, 0, empty(), &[], empty()), Err(Refused::Outside));
}

fn top_of(hash: Digest) -> Digest {
    node(&hash, &hash)
}

#[test]
fn every_tree_is_the_beginning_of_every_later_one_and_of_no_other() {
    let all = leaves(SIZES);
    for size in 1..=SIZES {
        let known = &all[..usize::try_from(size).unwrap()];
        let top = (size, defined(known));
        let mut hashes = from_leaves(known);
        for first in (1..=size).filter(|first| size < 40 || first % 7 == size % 7 || first + 3 > size) {
            let before = (first, sure(root(first, &mut hashes)));
            let proof = sure(consistency(first, size, &mut hashes)).unwrap();
            assert_eq!(verify_consistency(before, top, &proof), Ok(()), "{first} of {size}");
            let longer: Vec<Digest> = proof.iter().copied().chain([top.1]).collect();
            assert!(verify_consistency(before, top, &longer).is_err(), "{first} of {size}");
            assert!(verify_consistency((first, top_of(before.1)), top, &proof).is_err(), "{first} of {size}");
            assert!(verify_consistency(before, (size, top_of(top.1)), &proof).is_err(), "{first} of {size}");
            if let Some((_, shorter)) = proof.split_last() {
                assert!(verify_consistency(before, top, shorter).is_err(), "{first} of {size}");
            }
        }
        assert!(sure(consistency(size + 1, size, &mut hashes)).is_none());
        assert_eq!(verify_consistency((0, empty()), top, &[]), Err(Refused::Outside));
        assert_eq!(verify_consistency((size + 1, top.1), top, &[]), Err(Refused::Outside));
    }
}

#[test]
fn any_set_of_leaves_leads_to_the_root() {
    let all = leaves(SIZES);
    for size in [1, 2, 3, 7, 8, 100, 255, 256, 257, SIZES] {
        let known = &all[..usize::try_from(size).unwrap()];
        let top = defined(known);
        for step in [1, 2, 3, 50, 299] {
            let places: Vec<u64> = (0..size).filter(|at| (at + size) % step == 0).collect();
            let any = |from, to| places.iter().any(|at| (from..to).contains(at));
            let hashes = sure(cover(&any, size, &mut from_leaves(known)));
            let given: Vec<(u64, Digest)> =
                places.iter().map(|at| (*at, known[usize::try_from(*at).unwrap()])).collect();
            assert_eq!(verify_cover(&given, size, &hashes, top), Ok(()), "{size}/{step}");
            let longer: Vec<Digest> = hashes.iter().copied().chain([top]).collect();
            assert_eq!(verify_cover(&given, size, &longer, top), Err(Refused::Length));
            if let Some((_, shorter)) = hashes.split_last() {
                assert_eq!(verify_cover(&given, size, shorter, top), Err(Refused::Length));
            }
            if let [(at, hash), rest @ ..] = given.as_slice() {
                let moved: Vec<_> = [(*at, top_of(*hash))].iter().chain(rest).copied().collect();
                assert_eq!(verify_cover(&moved, size, &hashes, top), Err(Refused::Root));
                let twice: Vec<_> = [(*at, *hash)].iter().chain(&given).copied().collect();
                assert_eq!(verify_cover(&twice, size, &hashes, top), Err(Refused::Outside));
            }
        }
    }
    assert_eq!(verify_cover(&[], 0, &[], empty()), Err(Refused::Outside));
}

#[test]
fn a_tree_goes_on_from_its_tiles_at_any_size() {
    let size = 66_000_u64;
    let mut tree = Tree::new();
    let mut tiles: BTreeMap<(u8, u64), Vec<Digest>> = BTreeMap::new();
    for n in 0..size {
        let mut full = Vec::new();
        tree.push(leaf(&n.to_be_bytes()), &mut full);
        tiles.extend(full.into_iter().map(|tile| ((tile.level, tile.index), tile.hashes)));
        if n % 9_973 == 0 || n == 65_535 || n + 1 == size {
            let mut tile = |level, index| {
                let found = tiles.get(&(level, index)).cloned();
                Ok::<_, Infallible>(found.unwrap_or_else(|| tree.edge(level).to_vec()))
            };
            let again = sure(Tree::resume(tree.size(), &mut tile)).unwrap();
            assert_eq!((again.root(), again.size()), (tree.root(), tree.size()), "{n}");
            let mut node = |height, index| Ok(sure(perfect(height, index, &mut tile)).unwrap());
            assert_eq!(sure(root(tree.size(), &mut node)), tree.root(), "{n}");
        }
    }
    let mut missing = |_, _| Ok::<_, Infallible>(Vec::new());
    assert_eq!(sure(Tree::resume(300, &mut missing)), None);
}
