//! Do the rules do what Prometheus' documentation says?

use proptest::prelude::*;

use super::*;

fn text(action: &str) -> RuleText {
    RuleText { action: Action::from_name(action), ..RuleText::default() }
}

fn sources(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(|name| (*name).to_owned()).collect())
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn apply(rules: &[RuleText], pairs: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
    let rules: Vec<Rule> = rules.iter().map(|text| Rule::new(text.clone(), NameScheme::Legacy).unwrap()).collect();
    let mut labels: LabelMap = pairs.iter().copied().collect();
    let is_kept = relabel(&rules, &mut labels);
    is_kept.then(|| labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn labels(pairs: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
    Some(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

fn replace(source: &[&str], regex: &str, target: &str, replacement: &str) -> RuleText {
    RuleText {
        source_labels: sources(source),
        regex: some(regex),
        target_label: some(target),
        replacement: some(replacement),
        ..text("replace")
    }
}

#[test]
fn replace_writes_groups_of_a_whole_match() {
    let rule = replace(&["a"], "f(.*)", "d", "ch${1}-ch$1");
    assert_eq!(apply(&[rule], &[("a", "foo")]), labels(&[("a", "foo"), ("d", "choo-choo")]));
    let partly = replace(&["a"], "o", "d", "x");
    assert_eq!(apply(&[partly], &[("a", "foo")]), labels(&[("a", "foo")]));
    let joined = replace(&["a", "b"], "(.*);(.*)", "c", "$2$$$1");
    assert_eq!(apply(&[joined], &[("a", "1"), ("b", "2")]), labels(&[("a", "1"), ("b", "2"), ("c", "2$1")]));
}

#[test]
fn replace_may_name_its_target_by_a_group_and_take_labels_away() {
    let rule = replace(&["a"], "some-([^-]+)-([^,]+)", "${1}", "$2");
    assert_eq!(apply(&[rule], &[("a", "some-name-value")]), labels(&[("a", "some-name-value"), ("name", "value")]));
    // A name that is not valid is not written.
    let invalid = replace(&["a"], "some-([^-]+)-([^,]+)", "${3}", "$2");
    assert_eq!(apply(&[invalid], &[("a", "some-name-value")]), labels(&[("a", "some-name-value")]));
    let empty = replace(&["a"], ".*", "a", "");
    assert_eq!(apply(&[empty], &[("a", "x"), ("b", "y")]), labels(&[("b", "y")]));
    // Newlines are characters like others.
    let lines = replace(&["a"], "(.*)", "b", "$1");
    assert_eq!(apply(&[lines], &[("a", "x\ny")]), labels(&[("a", "x\ny"), ("b", "x\ny")]));
}

#[test]
fn templates_read_as_in_go() {
    let expand = |template: &str| {
        let regex = Regex::new("^(?P<first>a)(b)?$").unwrap();
        template::expand(template, &regex.captures("a").unwrap())
    };
    assert_eq!(expand("$first-${first}-$1-$2-$3-$none"), "a-a-a---");
    // The longest name counts, a leading zero is no number, and what is no reference stays.
    assert_eq!(expand("$1x ${1}x $01 $$1 $ ${ ${a-b} $- €"), " ax  $1 $ ${ ${a-b} $- €");
    assert_eq!(expand("${0}$0"), "aa");
}

#[test]
fn keep_and_drop_look_at_the_joined_value() {
    let rule = |action| RuleText { source_labels: sources(&["a", "b"]), regex: some("x;.*"), ..text(action) };
    assert_eq!(apply(&[rule("keep")], &[("a", "x")]), labels(&[("a", "x")]));
    assert_eq!(apply(&[rule("keep")], &[("a", "y")]), None);
    assert_eq!(apply(&[rule("drop")], &[("a", "x")]), None);
    assert_eq!(apply(&[rule("DROP")], &[("a", "y")]), labels(&[("a", "y")]));
    let equal = |action| RuleText { source_labels: sources(&["port"]), target_label: some("wanted"), ..text(action) };
    let same = [("port", "80"), ("wanted", "80")];
    assert_eq!(apply(&[equal("keepequal")], &same), labels(&same));
    assert_eq!(apply(&[equal("dropequal")], &same), None);
    assert_eq!(apply(&[equal("keepequal")], &[("port", "80")]), None);
}

#[test]
fn hashes_are_those_of_prometheus() {
    let rule =
        RuleText { source_labels: sources(&["c"]), target_label: some("d"), modulus: Some(1000), ..text("hashmod") };
    // From Prometheus' own tests of relabeling.
    let kept = apply(std::slice::from_ref(&rule), &[("a", "foo"), ("b", "bar"), ("c", "baz")]);
    assert_eq!(kept, labels(&[("a", "foo"), ("b", "bar"), ("c", "baz"), ("d", "976")]));
    let lines = apply(&[rule], &[("a", "foo\nbar"), ("b", "foo\nbar"), ("c", "foo\nbar")]);
    assert_eq!(lines.unwrap().last().unwrap().1, "734");
}

#[test]
fn names_are_mapped_dropped_and_kept() {
    let map = RuleText { regex: some("__meta_(my.*)"), replacement: some("${1}"), ..text("labelmap") };
    let before = [("__meta_my_bar", "aaa"), ("__meta_other", "c"), ("a", "foo")];
    let after = [("__meta_my_bar", "aaa"), ("__meta_other", "c"), ("a", "foo"), ("my_bar", "aaa")];
    assert_eq!(apply(&[map], &before), labels(&after));
    let drop = RuleText { regex: some("__.*"), ..text("labeldrop") };
    assert_eq!(apply(&[drop], &before), labels(&[("a", "foo")]));
    let keep = RuleText { regex: some("a|b"), ..text("labelkeep") };
    assert_eq!(apply(&[keep], &before), labels(&[("a", "foo")]));
}

#[test]
fn cases_are_changed() {
    let rule = |action| RuleText { source_labels: sources(&["foo"]), target_label: some("to"), ..text(action) };
    assert_eq!(apply(&[rule("lowercase")], &[("foo", "bAr123")]), labels(&[("foo", "bAr123"), ("to", "bar123")]));
    assert_eq!(apply(&[rule("uppercase")], &[("foo", "bAr123")]), labels(&[("foo", "bAr123"), ("to", "BAR123")]));
}

#[test]
fn rules_that_can_not_be_meant_are_refused() {
    let refused = |text: RuleText, part: &str| {
        let message = Rule::new(text, NameScheme::Legacy).unwrap_err().message;
        assert!(message.contains(part), "{message}");
    };
    refused(text("replace"), "requires 'target_label' value");
    refused(RuleText { target_label: some("a"), ..text("hashmod") }, "requires non-zero modulus");
    refused(replace(&[], "(", "a", ""), "not valid");
    refused(replace(&[], ".*", "a-b", ""), "\"a-b\" is invalid 'target_label'");
    refused(replace(&[], ".*", "1${1}", ""), "is invalid 'target_label'");
    refused(RuleText { replacement: some("a-$1"), ..text("labelmap") }, "is invalid 'replacement'");
    refused(RuleText { source_labels: sources(&["a"]), ..text("labeldrop") }, "requires only 'regex'");
    refused(RuleText { target_label: some("a"), regex: some("a"), ..text("keepequal") }, "no other fields");
    refused(RuleText { target_label: some("a"), replacement: some("a"), ..text("lowercase") }, "can not have");
    assert!(Rule::new(replace(&[], ".*", "a-b", ""), NameScheme::Utf8).is_ok());
    assert!(Rule::new(replace(&[], ".*", "a_${1}_$2", ""), NameScheme::Legacy).is_ok());
}

proptest! {
    #[test]
    fn the_default_rule_copies(value in "\\PC{0,20}") {
        let rule = RuleText { source_labels: sources(&["a"]), target_label: some("b"), ..RuleText::default() };
        let copied = apply(&[rule], &[("a", &value)]).unwrap();
        let expected: Vec<_> = [("a", &value), ("b", &value)].iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| ((*name).to_owned(), (*value).clone()))
            .collect();
        prop_assert_eq!(copied, expected);
    }

    #[test]
    fn hashes_stay_below_their_modulus(value in "\\PC{0,20}", modulus in 1u64..) {
        let rule = RuleText {
            source_labels: sources(&["a"]), target_label: some("b"), modulus: Some(modulus), ..text("hashmod")
        };
        let hashed = apply(&[rule], &[("a", &value)]).unwrap();
        prop_assert!(hashed.last().unwrap().1.parse::<u64>().unwrap() < modulus);
    }

    #[test]
    fn any_template_expands(template in "[$a-c0-2{}é]{0,12}") {
        let regex = Regex::new("^(a)(?P<b>b)$").unwrap();
        let expanded = template::expand(&template, &regex.captures("ab").unwrap());
        prop_assert!(template.contains('$') || expanded == template);
    }
}
