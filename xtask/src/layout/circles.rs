//! Circles of imports: none between folders, or between a folder and a file beside it; none of
//! more than two files.

use std::collections::{BTreeMap, BTreeSet};

use super::modules::{Edge, Modules, Place};

/// What one takes from the other, in words, for each circle.
pub(super) fn find(modules: &Modules) -> Vec<String> {
    let edges = modules.edges();
    let folders: BTreeSet<&[String]> = modules
        .places()
        .flat_map(|place| (0..place.len()).map(|to| &place[..to]))
        .collect();
    let levels = folders.iter().flat_map(|folder| level(&edges, folder));
    let bad = levels.filter(|circle| {
        circle.len() > 2
            || circle
                .iter()
                .any(|place| folders.contains(place.as_slice()))
    });
    bad.map(|circle| shown(modules, &edges, &circle)).collect()
}

/// The circles between what stands directly in `folder`, everything below a folder in it as one.
fn level(edges: &BTreeSet<Edge>, folder: &[String]) -> Vec<BTreeSet<Place>> {
    let mut next: BTreeMap<Place, BTreeSet<Place>> = BTreeMap::new();
    for edge in edges {
        if let (Some(from), Some(to)) = (child(folder, &edge.from), child(folder, &edge.to))
            && from != to
        {
            next.entry(from).or_default().insert(to);
        }
    }
    let reach: BTreeMap<&Place, BTreeSet<&Place>> = next
        .keys()
        .map(|from| {
            let mut seen = BTreeSet::new();
            let mut left = vec![from];
            while let Some(one) = left.pop() {
                let to = next.get(one).into_iter().flatten();
                left.extend(to.filter(|one| seen.insert(*one)));
            }
            (from, seen)
        })
        .collect();
    let circle = |place: &&Place| -> BTreeSet<Place> {
        let back = |other: &&&Place| reach.get(**other).is_some_and(|seen| seen.contains(*place));
        let circle = reach[*place].iter().filter(back);
        circle.map(|place| (*place).clone()).collect()
    };
    let circles: BTreeSet<BTreeSet<Place>> = reach.keys().map(circle).collect();
    circles.into_iter().filter(|one| one.len() > 1).collect()
}

/// What `place` belongs to of the things directly in `folder`; not the folder's own `mod.rs`, which
/// is the folder.
fn child(folder: &[String], place: &[String]) -> Option<Place> {
    let inside = place.len() > folder.len() && place.starts_with(folder);
    inside.then(|| place[..=folder.len()].to_vec())
}

fn shown(modules: &Modules, edges: &BTreeSet<Edge>, circle: &BTreeSet<Place>) -> String {
    let depth = circle.first().map_or(0, Vec::len);
    let mut lines: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for Edge { from, to, name } in edges {
        let (Some(one), Some(other)) = (from.get(..depth), to.get(..depth)) else {
            continue;
        };
        if one != other && circle.contains(one) && circle.contains(other) {
            let files = (modules.file(from), modules.file(to));
            lines.entry(files).or_default().push(name);
        }
    }
    let lines = lines.iter().map(|((from, to), names)| {
        let names = names.join(", ");
        format!("\n    {from} takes {names} from {to}")
    });
    format!("a circle of imports:{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::{Modules, find};

    fn circles(files: &[(&str, &str)]) -> Vec<String> {
        let files = files
            .iter()
            .map(|(file, text)| (file.to_string(), text.to_string()));
        find(&Modules::read(&files.collect()))
    }

    #[test]
    fn two_files_may_know_each_other_and_three_may_not() {
        let two = [
            ("lib.rs", "mod a; mod b; mod c; pub use a::A;"),
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "use crate::{A, c::C};"),
            ("c.rs", ""),
        ];
        assert_eq!(circles(&two), Vec::<String>::new());
        let mut three = two;
        three[3].1 = "fn f() { crate::a::g() }";
        assert_eq!(
            circles(&three),
            ["a circle of imports:\n    a.rs takes B from b.rs\n    \
              b.rs takes A from a.rs\n    b.rs takes C from c.rs\n    c.rs takes g from a.rs"]
        );
    }

    #[test]
    fn no_folder_is_in_a_circle() {
        let folders = [
            ("x/mod.rs", "pub use deep::X; mod deep;"),
            ("x/deep.rs", "use crate::y::Y;"),
            ("y/mod.rs", "mod low; pub(crate) use low::Y;"),
            ("y/low.rs", "use super::Z;"),
            ("z.rs", "use crate::x::X;"),
        ];
        assert_eq!(circles(&folders), Vec::<String>::new());
        let mut circle = folders;
        circle[3].1 = "use crate::x::X;";
        assert_eq!(
            circles(&circle),
            [
                "a circle of imports:\n    x/deep.rs takes Y from y/low.rs\n    \
              y/low.rs takes X from x/deep.rs"
            ]
        );
        let mut file = folders;
        file[3].1 = "use crate::z::f;";
        assert_eq!(circles(&file).len(), 1);
    }

    #[test]
    fn tests_may_take_what_they_want() {
        let files = [
            ("a/mod.rs", "#[cfg(test)]\nmod tests;\nuse crate::b::B;"),
            ("a/tests.rs", "use crate::b::kit;"),
            ("b/mod.rs", "#[cfg(test)]\nmod inside { use crate::a::A; }"),
        ];
        assert_eq!(circles(&files), Vec::<String>::new());
    }
}
