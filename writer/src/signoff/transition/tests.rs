//! Every state, event, actor and setting, against a table that is written from the specification
//! and knows nothing of the code.

use super::{
    Digest::{Differs, Matches, NotGiven},
    Effect::{NoteEdit, Nothing, Publish, PublishPreview, Resign, RestoreSource, Retract, SetUp},
    Status::{None as NoStatus, Signed, ToReview, WorkInProgress},
    *,
};

/// `remote-settings.md` §1.6-1.16 and §13, as rows: the first that applies tells what comes of it.
///
/// An event, with the posted status; the status before; conditions that must all hold; the outcome.
const RULES: &str = "
    # The status (§1.8). At creation it is judged as from no status at all (§1.6).
    write  null       *                 *                      -> 400 Cannot remove status
    write  signed     *                 *                      -> 400 Cannot set status to 'signed'
    write  bogus      *                 *                      -> 400 Invalid status 'bogus'
    write  to-review  *                 review,!editor         -> 403 Not in cfr-editors group
    write  to-sign    signed            *                      -> 400 Collection already signed
    write  to-sign    *                 review,!reviewer       -> 403 Not in cfr-reviewers group
    write  to-sign    none              review                 -> 400 Collection not under review
    write  to-sign    work-in-progress  review                 -> 400 Collection not under review
    write  to-sign    *                 review,requester       -> 403 Last editor cannot review
    write  to-rollback signed           *                      -> 400 Collection has no work-in-progress

    # Then tracking attributes (§1.7, §1.9), then the digest (ours).
    write  *          *                 tampered               -> 400 Cannot change <TRACKING_FIELDS.LAST_EDIT_BY: 'last_edit_by'>
    create *          *                 digest                 -> 400 last_reviewed_digest is sent with an approval: status 'to-sign'
    update to-sign    *                 wrong-digest           -> 412 Resource was modified meanwhile
    update to-sign    *                 review,attributes      -> 412 Resource was modified meanwhile
    update !to-sign   *                 digest                 -> 400 last_reviewed_digest is sent with an approval: status 'to-sign'

    # Creation (§1.6): whatever was posted, the source is signed.
    create *          *                 !makes-groups          -> 403 Cannot create collection without `group:create` on bucket 'work': editors/reviewers groups cannot be set up.
    create *          *                 *                      -> signed set-up

    # What is too large is not published (D8); what never was is not restored (§1.13.3).
    update to-review  *                 too-large              -> 400 Collection has more records than can be signed
    update to-sign    *                 too-large              -> 400 Collection has more records than can be signed
    update to-rollback *                !published             -> 400 Collection has no work-in-progress

    # Effects (§1.10).
    update same       to-review         attributes             -> work-in-progress edit
    update same       *                 *                      -> unchanged nothing
    update work-in-progress to-review   *                      -> work-in-progress nothing Rejected
    update work-in-progress *           *                      -> work-in-progress nothing
    update to-review  *                 *                      -> to-review preview Requested
    update to-sign    *                 *                      -> signed publish Approved
    update to-rollback to-review        *                      -> signed restore Canceled
    update to-rollback *                changed                -> signed restore Canceled
    update to-rollback *                *                      -> signed restore

    # A refresh leaves the status, but for none (D5); it publishes attributes where nothing is
    # pending and the setting lets it (D4).
    # Attributes that come with it void a request: nobody was asked about them (D1, D4).
    update to-resign  none              !review,refresh        -> signed resign-with-attributes
    update to-resign  none              *                      -> signed resign
    update to-resign  signed            refresh                -> signed resign-with-attributes
    update to-resign  to-review         attributes,!review,refresh -> work-in-progress resign-with-attributes edit
    update to-resign  to-review         attributes             -> work-in-progress resign edit
    update to-resign  *                 !review,refresh        -> unchanged resign-with-attributes
    update to-resign  *                 *                      -> unchanged resign

    # Records, whoever writes them (§1.10); deletions (§1.14, D7).
    edit   -          *                 *                      -> work-in-progress edit
    delete -          *                 *                      -> none retract
    target -          *                 source                 -> 403 Collection is in use.
    target -          *                 *                      -> none nothing
";

/// One of all cases, and whether an effect changed records.
#[derive(Debug, Clone, Copy)]
struct Case {
    event: Event,
    now: Situation,
    changed: bool,
}

fn posted_name(posted: Posted) -> &'static str {
    match posted {
        Posted::Same => "same",
        Posted::Removed => "null",
        Posted::Signed => "signed",
        Posted::Unknown => "bogus",
        Posted::Command(Command::Decline) => "work-in-progress",
        Posted::Command(Command::RequestReview) => "to-review",
        Posted::Command(Command::Approve) => "to-sign",
        Posted::Command(Command::RefreshSignature) => "to-resign",
        Posted::Command(Command::Rollback) => "to-rollback",
    }
}

impl Case {
    fn names(&self) -> (&'static str, &'static str) {
        match self.event {
            Event::Create(posted) => ("create", posted_name(posted)),
            Event::Update(posted) => ("update", posted_name(posted)),
            Event::Edit => ("edit", "-"),
            Event::Delete => ("delete", "-"),
            Event::DeleteTarget => ("target", "-"),
        }
    }

    fn holds(&self, condition: &str) -> bool {
        let (now, actor) = (&self.now, &self.now.actor);
        match condition {
            "*" => true,
            "review" => now.review,
            "editor" => actor.is_editor,
            "reviewer" => actor.is_reviewer,
            "requester" => actor.requested_this_review,
            "makes-groups" => actor.makes_groups,
            "tampered" => now.tampered.is_some(),
            "attributes" => now.attributes_changed,
            "digest" => now.digest != NotGiven,
            "right-digest" => now.digest == Matches,
            "wrong-digest" => now.digest == Differs,
            "too-large" => now.is_too_large,
            "published" => now.is_published,
            "refresh" => now.refresh_publishes,
            "source" => now.has_source,
            "changed" => self.changed,
            other => panic!("the table has no condition {other}"),
        }
    }

    /// What the table says.
    fn expected(&self, rules: &[Rule]) -> String {
        let hit = rules.iter().find(|rule| rule.matches(self));
        let rule = hit.unwrap_or_else(|| panic!("no row is about {self:?}"));
        rule.outcome.replace("unchanged", self.now.from.name().unwrap_or("none"))
    }

    /// What the state machine says, in the table's words.
    fn actual(&self) -> String {
        let (status, effect) = match transition(self.event, &self.now) {
            Ok(decision) => decision,
            Err(refusal) => return refusal_text(refusal),
        };
        let name = match effect {
            Nothing => "nothing",
            SetUp => "set-up",
            NoteEdit => "edit",
            PublishPreview => "preview",
            Publish => "publish",
            Resign { with_attributes: false, is_edit: false } => "resign",
            Resign { with_attributes: true, is_edit: false } => "resign-with-attributes",
            Resign { with_attributes: false, is_edit: true } => "resign edit",
            Resign { with_attributes: true, is_edit: true } => "resign-with-attributes edit",
            RestoreSource => "restore",
            Retract => "retract",
        };
        let told = told(self.now.from, effect, status, self.changed);
        let told = told.map_or_else(String::new, |kind| format!(" {kind:?}"));
        format!("{} {name}{told}", status.name().unwrap_or("none"))
    }
}

/// A row of the table.
struct Rule {
    event: &'static str,
    posted: &'static str,
    from: &'static str,
    conditions: Vec<(&'static str, bool)>,
    outcome: &'static str,
}

impl Rule {
    fn parse(line: &'static str) -> Self {
        let (row, outcome) = line.split_once(" -> ").unwrap();
        let mut words = row.split_whitespace();
        let mut next = || words.next().unwrap();
        let (event, posted, from) = (next(), next(), next());
        let conditions = next().split(',').map(wanted).collect();
        Self { event, posted, from, conditions, outcome }
    }

    fn matches(&self, case: &Case) -> bool {
        let (event, posted) = case.names();
        let (of_posted, is_posted) = wanted(self.posted);
        let is_write = self.event == "write" && ["create", "update"].contains(&event);
        (self.event == event || is_write)
            && (self.posted == "*" || (of_posted == posted) == is_posted)
            && (self.from == "*" || self.from == case.now.from.name().unwrap_or("none"))
            && self.conditions.iter().all(|(name, holds)| case.holds(name) == *holds)
    }
}

/// A word, and whether it is not negated.
fn wanted(word: &'static str) -> (&'static str, bool) {
    word.strip_prefix('!').map_or((word, true), |word| (word, false))
}

fn refusal_text(refusal: Refusal) -> String {
    let (code, message) = refusal.told("work", "cfr", "bogus");
    format!("{code} {message}")
}

fn posted() -> impl Iterator<Item = Posted> {
    [
        Posted::Same,
        Posted::Removed,
        Posted::Signed,
        Posted::Unknown,
        Posted::Command(Command::Decline),
        Posted::Command(Command::RequestReview),
        Posted::Command(Command::Approve),
        Posted::Command(Command::RefreshSignature),
        Posted::Command(Command::Rollback),
    ]
    .into_iter()
}

fn events() -> Vec<Event> {
    let others = [Event::Edit, Event::Delete, Event::DeleteTarget];
    posted().map(Event::Create).chain(posted().map(Event::Update)).chain(others).collect()
}

/// Every event in every situation: a creation has no status before.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for event in events() {
        for from in [NoStatus, WorkInProgress, ToReview, Signed] {
            if matches!(event, Event::Create(_)) && from != NoStatus {
                continue;
            }
            for digest in [NotGiven, Matches, Differs] {
                for bits in 0_u32..1 << 12 {
                    let bit = |n: u32| bits & (1 << n) != 0;
                    let actor = Actor {
                        is_editor: bit(0),
                        is_reviewer: bit(1),
                        requested_this_review: bit(2),
                        makes_groups: bit(3),
                    };
                    let now = Situation {
                        from,
                        actor,
                        review: bit(4),
                        refresh_publishes: bit(5),
                        tampered: bit(6).then_some("last_edit_by"),
                        attributes_changed: bit(7),
                        digest,
                        is_too_large: bit(8),
                        is_published: bit(9),
                        has_source: bit(10),
                    };
                    cases.push(Case { event, now, changed: bit(11) });
                }
            }
        }
    }
    // 9 creations; 9 updates and 3 others from 4 states each.
    assert_eq!(cases.len(), (9 + 12 * 4) * 3 * (1 << 12));
    cases
}

#[test]
fn every_case_is_decided_as_the_specification_says() {
    let rows = RULES.lines().map(str::trim);
    let rules: Vec<Rule> =
        rows.filter(|line| !line.is_empty() && !line.starts_with('#')).map(Rule::parse).collect();

    for case in cases() {
        assert_eq!(case.actual(), case.expected(&rules), "{case:?}");
    }
}

/// What clients are promised: with review on, nobody publishes alone (D1).
#[test]
fn d01_publication_takes_two_people() {
    for Case { event, now, .. } in cases() {
        if now.review && matches!(transition(event, &now), Ok((_, Publish))) {
            assert_eq!(event, Event::Update(Posted::Command(Command::Approve)));
            assert_eq!(now.from, ToReview);
            assert!(now.actor.is_reviewer && !now.actor.requested_this_review, "{now:?}");
            assert_ne!(now.digest, Differs);
        }
    }
}

/// What was asked for is what is approved: whoever changes what an approval publishes, by whatever
/// command, voids the request, or makes a new one (D1).
#[test]
fn d01_no_request_outlives_a_change() {
    for Case { event, now, .. } in cases() {
        let is_update = matches!(event, Event::Update(_));
        if is_update
            && now.attributes_changed
            && let Ok((ToReview, effect)) = transition(event, &now)
        {
            assert_eq!(effect, PublishPreview, "{event:?} {now:?}");
        }
    }
}

/// A command is never what is stored (D5).
#[test]
fn d05_a_refresh_changes_no_status_but_none_and_a_void_request() {
    let refresh = Event::Update(Posted::Command(Command::RefreshSignature));
    for Case { event, now, .. } in cases() {
        if event == refresh
            && let Ok((status, effect)) = transition(event, &now)
        {
            assert!(matches!(effect, Resign { .. }));
            let expected = match now.from {
                NoStatus => Signed,
                ToReview if now.attributes_changed => WorkInProgress,
                from @ (WorkInProgress | ToReview | Signed) => from,
            };
            assert_eq!(status, expected);
        }
    }
}
