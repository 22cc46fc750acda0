//! `limits` of `io.l5d.mesh` besides those of every server: what one node, and all together, may ask for (resolver API 7).

use std::ops::RangeInclusive;

use l5d_config::Section;
use serde_json::{Map, Value};

/// Bounds of sessions. The defaults are the specification's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// `sessions`: of this replica at one time, whatever interface they came in by; this one lets no further ones in.
    pub sessions: u32,
    /// `interestsPerSession`: names that one node may follow.
    pub interests: u32,
    /// `overridesPerSession`: of them, those with an override dtab.
    pub overrides: u32,
    /// `newInterestsPerSecond`: of one node in the long run.
    pub new_interests_per_second: u32,
    /// `newInterestBurst`: of one node at once; what it asks for first does not count.
    pub new_interest_burst: u32,
    /// `pathBytes`: of a name.
    pub path_bytes: u32,
    /// `overrideBytes`: of an override dtab.
    pub override_bytes: u32,
    /// `routerDtabBytes`: of the dtab of a router.
    pub router_dtab_bytes: u32,
    /// `helloBytes`: of a node's first message, which has the dtabs of its routers.
    pub hello_bytes: u32,
    /// `messageBytes`: of its other messages.
    pub message_bytes: u32,
}

/// What a message has around a path and a dtab: ids, lengths, a hash.
const AROUND: u32 = 256;

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            sessions: 10_000,
            interests: 10_000,
            overrides: 1_000,
            new_interests_per_second: 200,
            new_interest_burst: 1_000,
            path_bytes: 8 << 10,
            override_bytes: 8 << 10,
            router_dtab_bytes: 1 << 20,
            hello_bytes: 1 << 20,
            message_bytes: 256 << 10,
        }
    }
}

impl SessionLimits {
    /// Each key of the file, the number, and what it may be. No text may be longer than the parsers read.
    fn fields(&mut self) -> [(&'static str, &mut u32, RangeInclusive<i64>); 10] {
        let many = 1..=1_000_000;
        [
            ("sessions", &mut self.sessions, many.clone()),
            ("interestsPerSession", &mut self.interests, many.clone()),
            ("overridesPerSession", &mut self.overrides, 0..=1_000_000),
            (
                "newInterestsPerSecond",
                &mut self.new_interests_per_second,
                many.clone(),
            ),
            ("newInterestBurst", &mut self.new_interest_burst, many),
            ("pathBytes", &mut self.path_bytes, 64..=64 << 10),
            ("overrideBytes", &mut self.override_bytes, 0..=1 << 20),
            ("routerDtabBytes", &mut self.router_dtab_bytes, 0..=1 << 20),
            ("helloBytes", &mut self.hello_bytes, 1 << 10..=16 << 20),
            ("messageBytes", &mut self.message_bytes, 1 << 10..=16 << 20),
        ]
    }

    /// From the section `limits` of an interface.
    pub(super) fn read(section: &Section<'_>) -> Self {
        let mut limits = Self::default();
        for (key, limit, range) in limits.fields() {
            let given = section.key(key).integer(range);
            if let Some(given) = given.and_then(|n| u32::try_from(n).ok()) {
                *limit = given;
            }
        }
        let least = limits.path_bytes + limits.override_bytes + AROUND;
        if limits.message_bytes < least {
            let message = format!(
                "messageBytes is {}, so the longest path with the longest override dtab can never be asked for",
                limits.message_bytes
            );
            let help = format!(
                "make messageBytes at least {least}, or pathBytes and overrideBytes smaller"
            );
            section
                .reader()
                .mistake(section.spot(), message, Some(help));
        }
        limits
    }

    /// As in the file, all of them.
    pub(super) fn show(&self) -> Map<String, Value> {
        let mut limits = self.clone();
        let fields = limits.fields().into_iter();
        fields
            .map(|(key, limit, _)| (key.to_owned(), (*limit).into()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, InterfaceKind};
    use super::*;

    fn read(limits: &str) -> Result<(SessionLimits, Value), String> {
        let text = format!(
            "storage: {{kind: io.l5d.inMemory}}\ninterfaces: [{{kind: io.l5d.mesh, limits: {{{limits}}}}}]\n"
        );
        let read = Config::read("namerd.yml", &text, &|_| None);
        let (config, _) = read.map_err(|mistakes| mistakes.to_string())?;
        let InterfaceKind::Mesh(mesh) = &config.interfaces[0].kind else {
            panic!("a mesh");
        };
        let shown = config.effective()["interfaces"][0]["limits"].clone();
        Ok((mesh.limits.clone(), shown))
    }

    #[test]
    fn limits_of_sessions_stand_beside_those_of_clients() {
        let (limits, shown) = read("").expect("good");
        assert_eq!(limits, SessionLimits::default());
        assert_eq!(
            (&shown["sessions"], &shown["connections"]),
            (&10_000.into(), &10_000.into())
        );
        let text = "connections: 7, sessions: 2, interestsPerSession: 3, overridesPerSession: 0, newInterestsPerSecond: 5, \
             newInterestBurst: 6, pathBytes: 100, overrideBytes: 0, routerDtabBytes: 9, helloBytes: 2000, messageBytes: 1024";
        let (limits, shown) = read(text).expect("good");
        let given = SessionLimits {
            sessions: 2,
            interests: 3,
            overrides: 0,
            new_interests_per_second: 5,
            new_interest_burst: 6,
            path_bytes: 100,
            override_bytes: 0,
            router_dtab_bytes: 9,
            hello_bytes: 2_000,
            message_bytes: 1_024,
        };
        assert_eq!(limits, given);
        // What is shown reads back as the same.
        let again = shown.to_string();
        let (again, _) = read(again.trim_matches(['{', '}'])).expect("good");
        assert_eq!(again, given);
    }

    #[test]
    fn limits_that_nobody_could_keep_are_mistakes() {
        for (text, why) in [
            ("sessions: 0", "limits.sessions must be an integer from 1"),
            ("pathBytes: 65537", "limits.pathBytes must be"),
            ("helloBytes: 1023", "limits.helloBytes must be"),
            ("interests: 5", "unknown key `interests`"),
            ("messageBytes: 2000", "at least 16640"),
        ] {
            let mistakes = read(text).expect_err(text);
            assert!(mistakes.contains(why), "{text}: {mistakes}");
        }
    }
}
