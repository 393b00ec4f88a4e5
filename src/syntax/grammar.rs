//! The grammar, compiled, and its rules in the words of people who write scenarios.

use pest_derive::Parser;

/// The rules of `grammar/mstream.pest`.
#[derive(Parser)]
#[grammar = "../grammar/mstream.pest"]
pub(super) struct Grammar;

/// One piece of what the grammar matched.
pub(super) type Pair<'s> = pest::iterators::Pair<'s, Rule>;

/// The pieces within a piece.
pub(super) type Pairs<'s> = pest::iterators::Pairs<'s, Rule>;

/// What a rule that was expected is called; `None` for what is not worth naming.
#[expect(clippy::wildcard_enum_match_arm, reason = "rules that stand for a whole statement are never expected alone")]
pub(super) fn words(rule: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::name | Rule::argument | Rule::parameter | Rule::entry => "a name",
        Rule::integer => "an integer",
        Rule::open => "`{`",
        Rule::end => "the end of the line",
        Rule::nothing => "the end",
        Rule::equals => "`=`",
        Rule::comma => "`,`",
        Rule::dots => "`..`",
        Rule::close_paren => "`)`",
        Rule::close_square => "`]`",
        Rule::close_brace => "`}`",
        Rule::hole_end => "`}}`",
        Rule::string_end => "`\"`",
        Rule::raw_end => "`'`",
        Rule::regex_end => "`/`",
        Rule::kw_at => "`at`",
        Rule::kw_to => "`to`",
        Rule::kw_in => "`in`",
        Rule::kw_except => "`except`",
        Rule::kw_parties => "`parties`",
        Rule::fence => "a fence",
        Rule::kind => "`:`",
        Rule::arguments | Rule::parameters => "`(`",
        Rule::fleet | Rule::part => "`[`",
        Rule::operator => "an operator",
        Rule::string | Rule::raw => "a string",
        Rule::regex | Rule::regex_text => "a regex",
        Rule::range => "a range",
        Rule::list => "a list",
        Rule::pick | Rule::selector => "a stream",
        Rule::value | Rule::free | Rule::named | Rule::number | Rule::map | Rule::group | Rule::not => "a value",
        _ => return None,
    })
}
