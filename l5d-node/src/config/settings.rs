//! Settings by name: `client` and `service`, for all names alike or by prefix (node-proxy 2.3).
//!
//! [`Settings::of`] is asked once for a name or a cluster, when it comes into use, never for each request.

use std::fmt;
use std::sync::Arc;

use l5d_naming::Path;

use super::pattern::{Captures, Pattern};

/// What can be set by prefix: `Default` is what holds where nothing is said.
pub trait Layer: Clone + Default + fmt::Debug {
    /// What one entry of the file says, key by key.
    type Keys: Clone + fmt::Debug;

    /// Takes over what an entry says. What it captured from the name stands in for `{name}`s.
    fn apply(&mut self, keys: &Self::Keys, captures: &Captures);

    /// All that holds, as an entry that says it.
    fn keys(&self) -> Self::Keys;
}

/// Settings of kind `io.l5d.global` or `io.l5d.static`.
#[derive(Clone, Debug, Default)]
pub struct Settings<T: Layer> {
    /// For every name, before the entries.
    base: Arc<T>,
    /// In the order of the file; a later one's keys win.
    entries: Vec<Entry<T>>,
}

/// What holds for the names of one prefix.
#[derive(Clone, Debug)]
pub struct Entry<T: Layer> {
    /// Which names.
    pub prefix: Pattern,
    /// What for them.
    pub keys: T::Keys,
}

impl<T: Layer> Settings<T> {
    /// The same for every name.
    pub fn all(settings: T) -> Self {
        Self {
            base: Arc::new(settings),
            entries: Vec::new(),
        }
    }

    /// By prefix.
    pub fn by_prefix(entries: Vec<Entry<T>>) -> Self {
        Self {
            base: Arc::default(),
            entries,
        }
    }

    /// What holds for every name, unless an entry says otherwise.
    pub fn base(&self) -> &T {
        &self.base
    }

    /// The same, to be changed.
    pub fn base_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.base)
    }

    /// The entries, in the order of the file; none for kind `io.l5d.global`.
    pub fn entries(&self) -> &[Entry<T>] {
        &self.entries
    }

    /// What holds for `name`: a logical name (`service`) or a bound id (`client`).
    pub fn of(&self, name: &Path) -> Arc<T> {
        let mut found = self.base.clone();
        for entry in &self.entries {
            if let Some(captures) = entry.prefix.matches(name) {
                Arc::make_mut(&mut found).apply(&entry.keys, &captures);
            }
        }
        found
    }
}

/// Declares a [`Layer`]: its fields with their defaults, and what an entry may say of each.
macro_rules! layer {
    (
        $(#[$doc:meta])*
        $name:ident, $keys:ident, $substitute:expr;
        $( $(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr, )*
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $( $(#[$field_doc])* pub $field: $type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        /// What one entry says; `None`: nothing.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $keys {
            $( $(#[$field_doc])* pub $field: Option<$type>, )*
        }

        impl $crate::config::settings::Layer for $name {
            type Keys = $keys;

            fn apply(&mut self, keys: &$keys, captures: &$crate::config::pattern::Captures) {
                $( if let Some(value) = &keys.$field {
                    self.$field = value.clone();
                } )*
                let substitute: fn(&mut Self, &$keys, &$crate::config::pattern::Captures) = $substitute;
                substitute(self, keys, captures);
            }

            fn keys(&self) -> $keys {
                $keys { $( $field: Some(self.$field.clone()), )* }
            }
        }
    };
}
pub(super) use layer;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{ClientKeys, ClientSettings, ClientTls, ServiceKeys, ServiceSettings};
    use super::*;

    fn path(text: &str) -> Path {
        Path::parse(text).expect("a path")
    }

    fn entry<T: Layer>(prefix: &str, keys: T::Keys) -> Entry<T> {
        let prefix = Pattern::parse(prefix).expect("a pattern");
        Entry { prefix, keys }
    }

    #[test]
    fn later_entries_win_key_by_key() {
        let limit = |ms| Some(Some(Duration::from_millis(ms)));
        let all = ServiceKeys {
            total_timeout: limit(100),
            retries_per_request: Some(3),
            ..ServiceKeys::default()
        };
        let some = ServiceKeys {
            total_timeout: limit(200),
            ..ServiceKeys::default()
        };
        let settings: Settings<ServiceSettings> =
            Settings::by_prefix(vec![entry("/", all), entry("/svc/a", some)]);
        let total = |name| settings.of(&path(name)).total_timeout;
        assert_eq!(total("/svc/b"), Some(Duration::from_millis(100)));
        assert_eq!(total("/svc/a/b"), Some(Duration::from_millis(200)));
        assert_eq!(settings.of(&path("/svc/a")).retries_per_request, 3);
    }

    #[test]
    fn captures_stand_in_the_common_name() {
        let named = |name: &str| ClientKeys {
            tls: Some(Some(ClientTls {
                common_name: Some(name.to_owned()),
                ..ClientTls::default()
            })),
            ..ClientKeys::default()
        };
        let off = ClientKeys {
            tls: Some(None),
            ..ClientKeys::default()
        };
        let settings: Settings<ClientSettings> = Settings::by_prefix(vec![
            entry("/$/io.buoyant.rinet/443/{service}", named("{service}")),
            entry("/#/{namer}", named("{service}.{namer}")),
            entry("/#/plain", off),
        ]);
        let name = |id| {
            let tls = settings.of(&path(id)).tls.clone();
            tls.and_then(|tls| tls.common_name)
        };
        let rinet = name("/$/io.buoyant.rinet/443/example.com");
        assert_eq!(rinet.as_deref(), Some("example.com"));
        assert_eq!(name("/#/a/b").as_deref(), Some("{service}.a"));
        assert_eq!(name("/#/plain/b"), None, "a later entry turns it off");
        assert_eq!(name("/x"), None);
    }

    #[test]
    fn what_is_the_same_for_all_is_shared() {
        let settings: Settings<ClientSettings> = Settings::default();
        let (a, b) = (settings.of(&path("/a")), settings.of(&path("/b")));
        assert!(Arc::ptr_eq(&a, &b));
    }
}
