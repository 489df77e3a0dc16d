# Runs every test program and sums what they say. Sourced by ../disttune.
# shellcheck shell=bash

test_command() {
  local all="" write_support="" arguments=()
  if [ "${1:-}" = golden ]; then
    shift
    golden_command "$@"
    return
  fi
  while [ $# -gt 0 ]; do
    case "$1" in
      --all) all=1 ;;
      --write-support) write_support=--write ;;
      -h | --help)
        say "usage: ./disttune test [--all] [NAME ...]      runs all test programs, or those whose name contains NAME"
        say "       ./disttune test --write-support        and writes what they showed into the README's support table"
        say "       ./disttune test golden --golden DIR [--json]   runs every reference case found under DIR"
        return 0
        ;;
      -*) fail "test does not know the option $1" "./disttune test [--all] [NAME ...]" ;;
      *) arguments+=("$1") ;;
    esac
    shift
  done
  find_dotnet
  if ! is_prepared || ! is_built tests; then
    with_lock prepare_and_build tests
  fi

  [ -z "$all" ] || install_peers
  [ ! -d "$PEERS/node_modules" ] || export DISTTUNE_NODE_MODULES="${DISTTUNE_NODE_MODULES:-$PEERS/node_modules}"
  PASSED=0 FAILED=0 SKIPPED=0
  # The default tier takes minutes; explicit tests and those of the tier All belong to --all.
  local options=(-noColor -noLogo -trait- Tier=All)
  [ -z "$all" ] || options=(-noColor -noLogo -explicit on)
  export DISTTUNE_SUPPORT_LOG="$ARTIFACTS/setup/support.tsv"
  : > "$DISTTUNE_SUPPORT_LOG"
  rm -rf "$REPORTS"
  mkdir -p "$REPORTS"
  local project name
  for project in "$ROOT"/tests/*/*.csproj; do
    name="$(basename "$project" .csproj)"
    case "$name" in *.Tests) ;; *) continue ;; esac
    is_wanted "$name" "${arguments[@]:-}" || continue
    run_tests "$name" "${options[@]}"
    # Culture must never reach a result: Turkish casing and decimal commas find what would let it.
    [ "$name" != DistTune.Core.Tests ] || run_tests "$name" "${options[@]}" -culture tr-TR
  done
  # The README claims support for what the tests showed, no more and no less; neither a part of the
  # tests can tell, nor --all, which runs cases that not every machine has.
  if [ "${#arguments[@]}" -eq 0 ] && [ -z "$all" ]; then
    if "$ARTIFACTS/bin/DistTune.Goldens/release/DistTune.Goldens" support "$DISTTUNE_SUPPORT_LOG" "$ROOT/README.md" $write_support; then
      PASSED=$((PASSED + 1))
    else
      FAILED=$((FAILED + 1))
    fi
  fi
  # A row whose tests did not run is not proven: only --all runs them all, and fails then.
  if [ "${#arguments[@]}" -eq 0 ] && [ -n "$all" ]; then
    if "$ARTIFACTS/bin/DistTune.FaultTable/release/DistTune.FaultTable" "$REPORTS"; then
      PASSED=$((PASSED + 1))
    else
      FAILED=$((FAILED + 1))
    fi
  fi
  printf '%d passed, %d failed, %d skipped\n' "$PASSED" "$FAILED" "$SKIPPED"
  [ "$FAILED" -eq 0 ]
}

# What each program reports of its tests; the fault table is told from it.
readonly REPORTS="$ARTIFACTS/setup/reports"

# Software by others that tests run against; none is part of the product. Where one is missing its tests skip and say so.
readonly PEERS="$ARTIFACTS/peers"

install_peers() {
  mkdir -p "$PEERS"
  local log="$PEERS/install.log"
  if ! /usr/bin/python3 -c 'import grpc, torch' 2> /dev/null || [ -z "$(command -v promtool)" ] || [ -z "$(command -v ip)" ]; then
    say "Installing peers for tests: python3-grpcio python3-torch prometheus libfaketime iproute2"
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends python3-grpcio python3-torch python3-numpy prometheus libfaketime iproute2; } > "$log" 2>&1 ||
      say "  could not be installed (${log#"$ROOT"/}); their tests will skip"
  fi
  if [ ! -d "$PEERS/node_modules/@grpc/grpc-js" ]; then
    say "Installing peers for tests: @grpc/grpc-js @grpc/proto-loader"
    npm install --prefix "$PEERS" --silent --no-audit --no-fund @grpc/grpc-js @grpc/proto-loader > "$log" 2>&1 ||
      say "  could not be installed (${log#"$ROOT"/}); their tests will skip"
  fi
}

is_wanted() {
  local name="$1" wanted
  shift
  [ -n "${1:-}" ] || return 0
  for wanted in "$@"; do
    case "${name,,}" in *"${wanted,,}"*) return 0 ;; esac
  done
  return 1
}

# Runs one program and adds its summary to the sums. One that ends without a summary counts as a failure.
run_tests() {
  local name="$1" log status=0 summary total failed skipped errors notrun
  shift
  log="$ARTIFACTS/setup/$name.log"
  printf -- '-- %s%s\n' "$name" "$(printf '%s\n' "$@" | grep -A1 -x -- -culture | sed -n '2s/^/ under /p')"
  "$ARTIFACTS/bin/$name/release/$name" "$@" -result-xml "$(report_of "$name" "$@")" > "$log" 2>&1 || status=$?
  summary="$(grep -E 'Total: [0-9]+, Errors: [0-9]+' "$log" | tail -n 1 || true)"
  if [ -z "$summary" ]; then
    tail -n 30 "$log"
    printf '%s ended with exit code %d and no summary\n' "$name" "$status"
    FAILED=$((FAILED + 1))
    return 0
  fi
  total="$(field Total "$summary")" errors="$(field Errors "$summary")" failed="$(field Failed "$summary")" skipped="$(field Skipped "$summary")" notrun="$(field 'Not Run' "$summary")"
  grep -vE '^ *(Discovering|Discovered|Starting|Finished):' "$log" | grep -E '\[(FAIL|SKIP)\]|^      ' | head -n 200 || true
  printf '%s\n' "${summary#"${summary%%[![:space:]]*}"}"
  if [ "$status" -ne 0 ] && [ $((errors + failed)) -eq 0 ]; then
    tail -n 10 "$log"
    errors=1
  fi
  PASSED=$((PASSED + total - failed - skipped - notrun))
  FAILED=$((FAILED + failed + errors))
  SKIPPED=$((SKIPPED + skipped))
}

# A program that runs a second time, under another culture, reports beside its first run.
report_of() { printf '%s/%s%s.xml' "$REPORTS" "$1" "$(printf '%s\n' "$@" | grep -A1 -x -- -culture | sed -n '2s/^/-/p')"; }

field() { sed -nE "s/.*$1: ([0-9]+).*/\1/p" <<< "$2"; }

golden_command() {
  find_dotnet
  if ! is_prepared || ! is_built tests; then
    with_lock prepare_and_build tests
  fi
  local program="$ARTIFACTS/bin/DistTune.Goldens/release/DistTune.Goldens"
  [ -x "$program" ] || fail "the golden runner was not built" "./disttune setup"
  exec "$program" "$@"
}
