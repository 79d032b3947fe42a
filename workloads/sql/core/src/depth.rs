//! How deep a plan will be, told from the statement's tokens before anything recurses over it.
//!
//! Planning and dropping a plan recurse once a level, and a component's stack ends in a trap, which
//! tells nobody anything. So the levels are counted beforehand, from above: every opening
//! parenthesis is a level, and so is every operator of a chain (`a OR b OR c`), because chains
//! become trees that lean to one side. A comma starts another expression beside the last.

/// Levels a statement may have.
pub const LIMIT: u64 = 4_000;

/// Levels that a chained query costs (`UNION`, `EXCEPT`, `INTERSECT`): a plan of its own each time.
const QUERY: u64 = 8;

/// What a token means for the depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// `(`, `[`, `{` or `CASE`.
    Open,
    /// The end of what [`Token::Open`] began.
    Close,
    /// A comma.
    Comma,
    /// An operator between two expressions, or before one.
    Operator,
    /// `AND` or `OR`, which bind less than any other.
    Logical,
    /// `UNION`, `EXCEPT`, `INTERSECT` or `JOIN`.
    Query,
    /// `;`
    End,
    /// Anything else.
    Other,
}

/// Brackets in one another that a statement may have; the parser recurses over each.
pub const NESTING: usize = 190;

/// Why a statement is not handed to the parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooDeep {
    /// More than [`LIMIT`] levels.
    #[error(
        "the query is too deep: about {0} operators, subqueries and parentheses build on one \
         another, and at most {LIMIT} are handled; use IN or VALUES lists, or tables, in place of \
         long chains"
    )]
    Levels(u64),
    /// More than [`NESTING`] brackets in one another.
    #[error(
        "the query is nested too deep: {0} parentheses or CASE expressions in one another, and at \
         most {NESTING} are handled"
    )]
    Nesting(usize),
}

/// Checks all statements.
///
/// # Errors
///
/// Says how deep the deepest is where that is too deep.
pub fn check(tokens: impl IntoIterator<Item = Token>) -> Result<(), TooDeep> {
    match deepest(tokens) {
        (_, nesting) if nesting > NESTING => Err(TooDeep::Nesting(nesting)),
        (levels, _) if levels > LIMIT => Err(TooDeep::Levels(levels)),
        _ => Ok(()),
    }
}

/// The largest number of levels that any statement has, and of brackets in one another.
fn deepest(tokens: impl IntoIterator<Item = Token>) -> (u64, usize) {
    // For each open bracket, the levels of the expression before it. Those by queries survive a
    // comma, which separates columns within one query but not the queries.
    let mut outer: Vec<Level> = Vec::new();
    let mut here = Level::default();
    let mut base = 0;
    let mut deepest = 0;
    let mut nesting = 0;
    for token in tokens {
        match token {
            Token::Open => {
                base += here.sum() + 1;
                outer.push(std::mem::take(&mut here));
                nesting = nesting.max(outer.len());
            }
            Token::Close => {
                if let Some(before) = outer.pop() {
                    here = before;
                    base -= here.sum() + 1;
                }
            }
            Token::Comma => (here.logical, here.operators) = (0, 0),
            Token::Operator => here.operators += 1,
            Token::Logical => {
                here.operators = 0;
                here.logical += 1;
            }
            Token::Query => {
                (here.logical, here.operators) = (0, 0);
                here.queries += QUERY;
            }
            Token::End => {
                outer.clear();
                here = Level::default();
                base = 0;
            }
            Token::Other => continue,
        }
        deepest = deepest.max(base + here.sum());
    }
    (deepest, nesting)
}

#[derive(Default)]
struct Level {
    operators: u64,
    logical: u64,
    queries: u64,
}

impl Level {
    fn sum(&self) -> u64 {
        self.operators + self.logical + self.queries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every character is a token.
    fn tokens(text: &str) -> impl Iterator<Item = Token> {
        text.chars().map(|c| match c {
            '(' => Token::Open,
            ')' => Token::Close,
            ',' => Token::Comma,
            '+' => Token::Operator,
            '&' => Token::Logical,
            'u' => Token::Query,
            ';' => Token::End,
            _ => Token::Other,
        })
    }

    fn depth(text: &str) -> u64 {
        deepest(tokens(text)).0
    }

    #[test]
    fn nesting_and_chains_add_up() {
        assert_eq!(depth("a"), 0);
        assert_eq!(depth("((a))"), 2);
        assert_eq!(depth("a+a+a"), 2);
        assert_eq!(depth("a+(a+(a+a))"), 5);
    }

    #[test]
    fn what_stands_side_by_side_does_not() {
        assert_eq!(depth("a+a,a+a,a+a"), 1);
        assert_eq!(depth(&"(+a,+a),".repeat(10_000)), 2);
        assert_eq!(depth("a+a;a+a"), 1);
        assert_eq!(depth("a+a&a+a&a+a"), 3);
    }

    #[test]
    fn chained_queries_add_up_across_their_columns() {
        assert_eq!(depth("a,bua,bua,b"), 2 * QUERY);
    }

    #[test]
    fn both_limits_hold() {
        let nested = |n: usize| "(".repeat(n) + &")".repeat(n);
        assert_eq!(check(tokens(&nested(NESTING))), Ok(()));
        assert_eq!(
            check(tokens(&nested(NESTING + 1))),
            Err(TooDeep::Nesting(NESTING + 1))
        );
        let chain = |n: u64| "+".repeat(n as usize);
        assert_eq!(check(tokens(&chain(LIMIT))), Ok(()));
        assert_eq!(
            check(tokens(&chain(LIMIT + 1))),
            Err(TooDeep::Levels(LIMIT + 1))
        );
        assert_eq!(check(tokens(&nested(1).repeat(1000))), Ok(()));
    }

    #[test]
    fn brackets_that_do_not_match_do_no_harm() {
        assert_eq!(depth("))))a+a"), 1);
        assert_eq!(depth("(((;a"), 3);
    }
}
