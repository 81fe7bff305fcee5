//! Sorting what is short.

/// Sorts by insertion; stable. For a few hundred elements at the most: the sorts of the standard
/// library, which are for long slices, take 5 KB for each type that they are used with.
pub(crate) fn sort_short<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    for mut at in 1..items.len() {
        while at > 0 && key(&items[at - 1]) > key(&items[at]) {
            items.swap(at - 1, at);
            at -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sorts_and_is_stable() {
        for length in 0..50 {
            let mut items: Vec<(u32, u32)> = (0..length).map(|at| (at * 7 % 5, at)).collect();
            let mut expected = items.clone();
            expected.sort_by_key(|item| item.0);
            sort_short(&mut items, |item| item.0);
            assert_eq!(items, expected);
        }
    }
}
