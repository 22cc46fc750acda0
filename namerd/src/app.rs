//! The only file that knows every module: builds, spawns, joins.
