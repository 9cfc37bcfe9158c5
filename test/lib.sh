# Functions shared by the scripts in test/; sourced, not run.

PG_CONFIG=${PG_CONFIG:-pg_config}

# Runs a command as root, through sudo where necessary.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# Runs a command as a user that PostgreSQL accepts as the owner of a server: never root. The home directory
# is set because root's is kept otherwise, and psql would look for its start-up file there. Not by runuser, which
# would kill the command two seconds after an interrupt, before it has cleaned up.
unprivileged() {
  if [ "$(id -u)" -eq 0 ]; then
    setpriv --reuid=postgres --regid=postgres --init-groups env HOME=/nonexistent PSQL_HISTORY=/dev/null "$@"
  else
    "$@"
  fi
}

# Prints the name of a new directory that belongs to the unprivileged user.
private_directory() {
  unprivileged mktemp -d "${TMPDIR:-/tmp}/scann_am.XXXXXX"
}

# psql without anybody's start-up file, which prints bare values and stops at an error.
run_psql() {
  "$("$PG_CONFIG" --bindir)/psql" -XqAt -v ON_ERROR_STOP=1 "$@"
}

announce() {
  printf '\n== %s\n' "$*"
}
