//! Where did an error begin, and how far did it go? A span that failed while none below it did is a begin; those above that failed too
//! passed it on.

use std::collections::BTreeMap;

use super::{Finding, Pattern, Scene};

pub(super) fn find(scene: &Scene<'_>) -> Vec<Finding> {
    let tree = &scene.trace.tree;
    let mut origins: BTreeMap<(u32, u32, Option<u32>, bool), Vec<usize>> = BTreeMap::new();
    for (at, _) in &scene.trace.order {
        let span = &scene.spans[*at];
        if span.failed && !tree.children(*at).iter().any(|child| scene.spans[*child].failed) {
            let kind = (span.service, span.name, span.error_type.or(span.status_message), span.says_refused);
            origins.entry(kind).or_default().push(*at);
        }
    }
    let finding = |((_, _, said, refused), spans): ((u32, u32, Option<u32>, bool), Vec<usize>)| {
        let said = said.map_or(String::new(), |said| format!(": {}", super::shortened(scene.texts.text(said))));
        let began = match spans.len() {
            1 => format!("the error begins here{said}"),
            many => format!("{many} errors begin here{said}"),
        };
        let way = spans.first().map_or(String::new(), |first| passed_on(scene, *first));
        match refused {
            true => scene.finding(Pattern::Refused, &spans, format!("the call was not made{said}")),
            false => scene.finding(Pattern::ErrorOrigin, &spans, format!("{began}; {way}")),
        }
    };
    origins.into_iter().map(finding).collect()
}

/// How far up the spans above failed too.
fn passed_on(scene: &Scene<'_>, origin: usize) -> String {
    let tree = &scene.trace.tree;
    let (mut at, mut spans, mut services) = (origin, 0usize, vec![scene.spans[origin].service]);
    while let Some(parent) = tree.parent(at).filter(|parent| scene.spans[*parent].failed) {
        spans += 1;
        if !services.contains(&scene.spans[parent].service) && services.len() < 8 {
            services.push(scene.spans[parent].service);
        }
        at = parent;
    }
    let through = services.iter().skip(1).map(|service| scene.texts.text(*service)).collect::<Vec<_>>().join(", ");
    let through = if through.is_empty() { through } else { format!(" in {through}") };
    match (spans, tree.parent(at)) {
        (0, None) => "nothing lies above it".to_owned(),
        (0, Some(_)) => "what lies above it did not fail".to_owned(),
        (spans, None) => format!("it passed through {spans} spans{through} up to the root"),
        (spans, Some(_)) => format!("it passed through {spans} spans{through} and ended there"),
    }
}
