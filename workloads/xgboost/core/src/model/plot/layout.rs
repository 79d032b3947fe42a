//! Where the nodes of a tree go: children under their parent, in the order they have, as close to
//! each other as their subtrees let them (after Reingold and Tilford).

/// A tree to lay out: for each node its children, which come after it.
pub(super) struct Shape {
    /// Children of each node, left and right.
    pub(super) children: Vec<Option<(usize, usize)>>,
}

/// How far to the left and the right a subtree reaches at each level, from its root.
type Contour = Vec<(f64, f64)>;

impl Shape {
    /// The middle of each node, from the left edge of the leftmost; nodes of one level are at
    /// least `step` apart.
    pub(super) fn place(&self, step: f64) -> Vec<f64> {
        let count = self.children.len();
        let mut contours: Vec<Contour> = vec![Contour::new(); count];
        // How far the children are to the left and right of their parent.
        let mut spread = vec![0.0; count];
        for node in (0..count).rev() {
            contours[node] = match self.children[node] {
                None => vec![(0.0, 0.0)],
                Some((left, right)) => {
                    let left = std::mem::take(&mut contours[left]);
                    let right = std::mem::take(&mut contours[right]);
                    spread[node] = distance(&left, &right, step) / 2.0;
                    joined(&left, &right, spread[node])
                }
            };
        }
        let leftmost = contours.first().map_or(0.0, |contour| {
            contour
                .iter()
                .fold(0.0_f64, |least, (left, _)| least.min(*left))
        });
        let mut places = vec![0.0; count];
        if let Some(root) = places.first_mut() {
            *root = step / 2.0 - leftmost;
        }
        for node in 0..count {
            if let Some((left, right)) = self.children[node] {
                places[left] = places[node] - spread[node];
                places[right] = places[node] + spread[node];
            }
        }
        places
    }
}

/// How far two subtrees have to be apart.
fn distance(left: &Contour, right: &Contour, step: f64) -> f64 {
    let levels = left.iter().zip(right);
    levels.fold(step, |most, ((_, end), (start, _))| {
        most.max(end - start + step)
    })
}

/// What two subtrees to both sides of their parent reach.
fn joined(left: &Contour, right: &Contour, spread: f64) -> Contour {
    let mut contour = vec![(0.0, 0.0)];
    for level in 0..left.len().max(right.len()) {
        let left = left
            .get(level)
            .map(|(start, end)| (start - spread, end - spread));
        let right = right
            .get(level)
            .map(|(start, end)| (start + spread, end + spread));
        contour.extend(match (left, right) {
            (Some((start, _)), Some((_, end))) => Some((start, end)),
            (one, other) => one.or(other),
        });
    }
    contour
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_over_their_children_and_nobody_overlaps() {
        let shape = Shape {
            children: vec![
                Some((1, 2)),
                None,
                Some((3, 4)),
                Some((5, 6)),
                None,
                None,
                None,
            ],
        };
        let places = shape.place(10.0);
        for (node, children) in shape.children.iter().enumerate() {
            if let Some((left, right)) = children {
                assert_eq!(places[node], (places[*left] + places[*right]) / 2.0);
                assert!(places[*right] - places[*left] >= 10.0);
            }
        }
        assert!(places.iter().all(|place| *place >= 5.0), "{places:?}");
        // The leaf under the root is no further away than its one neighbour wants.
        assert_eq!(places[2] - places[1], 10.0);
    }
}
