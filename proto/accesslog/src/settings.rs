//! What a configuration file says about one access log (node-proxy 3, control plane 3.5).

use std::io;
use std::path::PathBuf;

use l5d_config::Section;

use crate::roll::Roll;

/// One access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The file. Its folder must be there.
    pub path: PathBuf,
    /// When a new file begins.
    pub roll: Roll,
    /// Whether lines are added to a file that is there at the start; it is emptied otherwise.
    pub append: bool,
    /// How many rolled files stay, the newest ones; `None`: all.
    pub keep: Option<usize>,
}

/// The names of the four keys.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    /// The file; without it there is no log, and the other keys have no effect.
    pub file: &'static str,
    /// [`Roll`], as text.
    pub roll: &'static str,
    /// [`Settings::append`].
    pub append: &'static str,
    /// [`Settings::keep`]; -1 for all.
    pub keep: &'static str,
}

/// Of routers of protocol `http`.
pub const HTTP_KEYS: Keys = Keys {
    file: "httpAccessLog",
    roll: "httpAccessLogRollPolicy",
    append: "httpAccessLogAppend",
    keep: "httpAccessLogRotateCount",
};

/// Of routers of protocol `h2`, and of namerd's mesh interface.
pub const H2_KEYS: Keys = Keys {
    file: "h2AccessLog",
    roll: "h2AccessLogRollPolicy",
    append: "h2AccessLogAppend",
    keep: "h2AccessLogRotateCount",
};

/// Why there is no access log.
#[derive(Debug, thiserror::Error)]
#[error("the access log {} cannot be opened: {source}", path.display())]
pub struct OpenError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl Settings {
    /// A log that never rolls, added to what is there: the defaults.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            roll: Roll::Never,
            append: true,
            keep: None,
        }
    }

    /// Reads the keys; `None` if no file is named. A policy that cannot be read is a mistake (1.x silently never rolled).
    pub fn read(section: &Section<'_>, keys: &Keys) -> Option<Self> {
        let path = section.key(keys.file).string();
        let field = section.key(keys.roll);
        let (spot, name) = (field.spot(), field.name().to_owned());
        let roll = field.string().map(|text| text.parse::<Roll>());
        let append = section.key(keys.append).boolean();
        let keep = section.key(keys.keep).integer(-1..=i64::from(u32::MAX));
        let default = Self::new(path?);
        Some(Self {
            roll: match roll {
                None => default.roll,
                Some(Ok(roll)) => roll,
                Some(Err(bad)) => {
                    let message = format!("{name} is not a roll policy: {bad}");
                    let help = "one of never, hourly, daily, weekly(1) to weekly(7), Sunday being 1, or a size such as 3.megabytes";
                    section
                        .reader()
                        .mistake(spot, message, Some(help.to_owned()));
                    default.roll
                }
            },
            append: append.unwrap_or(default.append),
            keep: keep.and_then(|n| usize::try_from(n).ok()),
            ..default
        })
    }
}
