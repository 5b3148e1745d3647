//! What a backend must prove about walking over objects.

use model::Kind;

use super::build::{self, Draft};
use crate::Store;

pub(super) fn every_object_of_a_kind_once(store: &dyn Store) {
    let long = "k".repeat(300);
    let keys = [
        build::key(Kind::Case, "C-1"),
        build::key(Kind::Case, "C\0-2"),
        build::key(Kind::Case, &long),
        model::ObjectKey { tenant: "acme".to_owned(), ..build::key(Kind::Case, "C-1") },
        build::key(Kind::Alert, "C-1"),
        build::key(Kind::Entity, "host/C-1"),
    ];
    let mut draft = Draft::on(store);
    let time = draft.time;
    for key in &keys {
        draft.entry(b"{}");
        // Some objects take more than one piece.
        draft.commit.objects.push((key.clone(), build::object(&key.id, 20_000, time)));
    }
    draft.commit(store).unwrap();
    let mut found = Vec::new();
    store
        .objects(Kind::Case, &mut |key, object| {
            assert_eq!(object.text("id"), Some(key.id.as_str()));
            assert_eq!(object.text("name").map(str::len), Some(20_000));
            found.push(key);
            true
        })
        .unwrap();
    let mut wanted = keys[..4].to_vec();
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
    let mut looked = 0;
    store
        .objects(Kind::Case, &mut |_, _| {
            looked += 1;
            looked < 2
        })
        .unwrap();
    assert_eq!(looked, 2, "the visitor says when to stop");
}
