//! Sorting and a sorted map for few elements. `slice::sort_by_key` at its three places would take 18 KB of
//! code in libcaster.so, `BTreeMap` at its three 36 KB more.

/// Sorts by insertion; stable. For a few hundred elements at the most.
pub(crate) fn sort_short<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    for mut at in 1..items.len() {
        while at > 0 && key(&items[at - 1]) > key(&items[at]) {
            items.swap(at - 1, at);
            at -= 1;
        }
    }
}

/// A map for a few thousand entries: a sorted vector.
#[derive(Debug, Clone)]
pub(crate) struct SortedMap<K, V>(Vec<(K, V)>);

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    #[inline(never)]
    fn find(&self, key: &K) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.cmp(key))
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        self.find(key).ok().map(|at| &self.0[at].1)
    }

    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.find(key).ok().map(|at| &mut self.0[at].1)
    }

    /// Puts it in the place of what was there under this key.
    pub fn insert(&mut self, key: K, value: V) {
        match self.find(&key) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (key, value)),
        }
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.find(key).ok().map(|at| self.0.remove(at).1)
    }

    pub fn retain(&mut self, mut keep: impl FnMut(&V) -> bool) {
        self.0.retain(|(_, value)| keep(value));
    }

    pub fn contains_key(&self, key: &K) -> bool {
        self.find(key).is_ok()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// As `retain`, with the key.
    pub fn retain_pairs(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.0.retain_mut(|(key, value)| keep(key, value));
    }

    /// In the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.0.iter_mut().map(|(key, value)| (&*key, value))
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    /// The entry at this place in the order of the keys.
    pub fn at(&self, at: usize) -> Option<(&K, &V)> {
        self.0.get(at).map(|(key, value)| (key, value))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_map_does_what_a_btree_map_does() {
        let (mut map, mut expected) = (SortedMap::default(), BTreeMap::new());
        for step in 0..2000u32 {
            let key = step.wrapping_mul(2_654_435_761) >> 26;
            if step % 3 == 0 {
                assert_eq!(map.remove(&key), expected.remove(&key));
            } else {
                map.insert(key, step);
                expected.insert(key, step);
            }
            assert_eq!(map.get(&key), expected.get(&key));
            assert_eq!(map.get_mut(&(key + 1)), expected.get_mut(&(key + 1)));
            assert_eq!(map.len(), expected.len());
        }
        map.values_mut().for_each(|value| *value += 1);
        map.retain(|value| value % 2 == 0);
        expected.values_mut().for_each(|value| *value += 1);
        expected.retain(|_, value| *value % 2 == 0);
        assert!(map.iter().eq(&expected) && map.len() > 5);
    }

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
