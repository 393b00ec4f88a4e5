//! How deep a node stands: the length of the longest path that leads to it.

/// The rank of each of `nodes` nodes, from 0, in a graph without circles. Linear: Kahn's algorithm.
pub(super) fn ranks(nodes: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut missing = vec![0_usize; nodes];
    let mut starts = vec![0_usize; nodes + 1];
    for (from, to) in edges {
        missing[*to] += 1;
        starts[*from + 1] += 1;
    }
    for at in 0..nodes {
        starts[at + 1] += starts[at];
    }
    let mut next = starts.clone();
    let mut targets = vec![0_usize; edges.len()];
    for (from, to) in edges {
        targets[next[*from]] = *to;
        next[*from] += 1;
    }
    let mut ranks = vec![0_usize; nodes];
    let mut ready: Vec<usize> = (0..nodes).filter(|node| missing[*node] == 0).collect();
    while let Some(node) = ready.pop() {
        for to in &targets[starts[node]..starts[node + 1]] {
            ranks[*to] = ranks[*to].max(ranks[node] + 1);
            missing[*to] -= 1;
            if missing[*to] == 0 {
                ready.push(*to);
            }
        }
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_path_counts() {
        assert_eq!(ranks(5, &[(0, 1), (1, 2), (0, 2), (3, 2), (2, 4)]), [0, 1, 2, 0, 3]);
        assert_eq!(ranks(3, &[(2, 1), (1, 0)]), [2, 1, 0]);
        assert_eq!(ranks(2, &[]), [0, 0]);
        assert_eq!(ranks(2, &[(0, 1), (0, 1)]), [0, 1]);
    }

    #[test]
    fn a_long_chain_is_no_trouble() {
        let edges: Vec<_> = (1..200_000).map(|to| (to - 1, to)).collect();
        assert_eq!(ranks(200_000, &edges).last(), Some(&199_999));
    }
}
