# Finds out what the machine and the package feed lack, installs it, and builds. Sourced by ../disttune.
# shellcheck shell=bash

readonly STAMPS="$ARTIFACTS/setup"
readonly NATIVE_PACKAGES=(g++ libtorch-dev libopenblas0-pthread)
# What real TorchSharp's native glue is linked against; older machines (Debian 12) cannot load it.
readonly TORCHSHARP_NEEDS=GLIBCXX_3.4.32

is_dry() { [ -n "${DISTTUNE_SETUP_DRY_RUN:-}" ] && [ "$DISTTUNE_SETUP_DRY_RUN" != 0 ]; }

setup_command() {
  while [ $# -gt 0 ]; do
    case "$1" in
      --dry-run) DISTTUNE_SETUP_DRY_RUN=1 ;;
      -h | --help)
        say "usage: ./disttune setup [--dry-run]"
        say "Installs what is missing (asking the package feed once), writes DistTune.local.props and builds. Done once, it takes under a second."
        return 0
        ;;
      *) fail "setup does not know the option $1" "./disttune setup [--dry-run]" ;;
    esac
    shift
  done
  if is_dry; then
    find_dotnet
    plan_only
  else
    ensure_setup
    say "disttune is set up. Try: ./disttune demo"
  fi
}

# Everything a verb needs. Silent and fast when there is nothing to do.
ensure_setup() {
  find_dotnet
  if is_prepared && is_built product; then
    return 0
  fi
  with_lock prepare_and_build product
}

# $1: product or tests. Several launchers at once must not build at once.
with_lock() {
  mkdir -p "$STAMPS"
  exec 9> "$STAMPS/lock"
  flock -n 9 || { say "Waiting for another disttune that is setting up."; flock 9; }
  "$@"
  exec 9>&-
}

prepare_and_build() {
  if is_dry; then
    plan_only
    exit 0
  fi
  is_prepared || prepare
  is_built "$1" || build "$1"
}

# ---- 1. The .NET SDK -------------------------------------------------------------------------------------------------

find_dotnet() {
  local candidate
  for candidate in "$(command -v dotnet || true)" "${DOTNET_ROOT:-}/dotnet" "$HOME/.dotnet/dotnet" /usr/share/dotnet/dotnet /usr/lib/dotnet/dotnet; do
    [ -n "$candidate" ] && [ -x "$candidate" ] || continue
    candidate="$(readlink -f "$candidate")"
    if compgen -G "$(dirname "$candidate")/sdk/10.*" > /dev/null; then
      DOTNET="$candidate"
      DOTNET_ROOT="$(dirname "$candidate")"
      export DOTNET DOTNET_ROOT
      return 0
    fi
  done
  fail "the .NET 10 SDK is missing (looked at dotnet on PATH, DOTNET_ROOT, ~/.dotnet, /usr/share/dotnet, /usr/lib/dotnet)" \
    "apt-get install dotnet-sdk-10.0, or see https://dotnet.microsoft.com/download/dotnet/10.0"
}

# ---- 2. What is there already ----------------------------------------------------------------------------------------

# The stamp holds the hash of what setup's answer depends on.
setup_key() {
  cat "$ROOT/scripts/setup.sh" "$ROOT/Directory.Packages.props" "$ROOT/Directory.Build.targets" "$ROOT/global.json" | sha256sum | cut -d' ' -f1
}

is_prepared() {
  [ -f "$STAMPS/prepared" ] && [ -f "$ROOT/DistTune.local.props" ] && [ "$(cat "$STAMPS/prepared")" = "$(setup_key)" ] || return 1
  ! uses_stand_in TorchSharp || [ -z "$(missing_native)" ]
}

uses_stand_in() {
  grep -qE ">(true|.*\b$1\b.*)</UseStandIns>" "$ROOT/DistTune.local.props"
}

missing_native() {
  local package status missing=()
  for package in "${NATIVE_PACKAGES[@]}"; do
    status="$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null || true)"
    [ "$status" = installed ] || missing+=("$package")
  done
  echo "${missing[*]:-}"
}

has_new_libstdcxx() {
  local library
  library="$(ldconfig -p 2> /dev/null | awk '/libstdc\+\+\.so\.6/ { print $NF; exit }')"
  [ -n "$library" ] && grep -qaF "$TORCHSHARP_NEEDS" "$library"
}

# ---- 3. What the feed has --------------------------------------------------------------------------------------------

# Restores a throw-away project that asks for one group of packages, through the same rules as the real ones.
# $1 name, $2 properties, $3 items, $4 seconds, $5 an SDK beside .NET's (its version is in global.json). The output is kept for the error message.
probe() {
  local folder="$ARTIFACTS/probe/$1" sdk=""
  mkdir -p "$folder"
  [ -z "${5:-}" ] || sdk="<Import Project=\"Sdk.props\" Sdk=\"$5\" />"
  cat > "$folder/Probe$1.csproj" << EOF
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>$2</PropertyGroup>
  <ItemGroup>$3</ItemGroup>
  $sdk
</Project>
EOF
  timeout "$4" "$DOTNET" restore "$folder/Probe$1.csproj" -p:UseStandIns=false -v q --nologo > "$folder/log" 2>&1
}

references() {
  local name
  for name in "$@"; do printf '<PackageReference Include="%s" />' "$name"; done
}

# Prints the stand-ins to use, separated by semicolons; false for none.
ask_feed() {
  local stand_ins=()
  # Continuous integration builds both ways, whatever its feed has.
  if [ -n "${DISTTUNE_STAND_INS:-}" ]; then
    echo "$DISTTUNE_STAND_INS"
    return
  fi
  # Packages without a stand-in must be there: this also tells an unreachable feed from one that lacks something.
  probe Required "" "$(references YamlDotNet System.CommandLine Spectre.Console Google.Protobuf OpenTelemetry)" 240 ||
    fail "the NuGet feed cannot be reached, or lacks a package that DistTune needs: $(grep -m1 -oE 'error [A-Z0-9]+: .*' "$ARTIFACTS/probe/Required/log" || echo 'no answer within 240 seconds')" \
      "check the network and the feed (dotnet nuget list source), then: ./disttune setup"
  probe Grpc "<UsesGrpcServer>true</UsesGrpcServer><UsesGrpcClient>true</UsesGrpcClient><UsesGrpcApi>true</UsesGrpcApi>" "" 120 || stand_ins+=(Grpc)
  probe OpenTelemetry "<UsesOpenTelemetryHosting>true</UsesOpenTelemetryHosting>" "<FrameworkReference Include=\"Microsoft.AspNetCore.App\" />" 120 || stand_ins+=(OpenTelemetry)
  # A feed may have the library and not the SDK of the version that the app host names; it needs both.
  probe Aspire "<UsesAspireHosting>true</UsesAspireHosting>" "" 120 Aspire.AppHost.Sdk || stand_ins+=(Aspire)
  if has_new_libstdcxx; then
    # The first restore loads libtorch, about a gigabyte.
    probe TorchSharp "<OutputType>Exe</OutputType><UsesTorchSharp>true</UsesTorchSharp>" "" 1800 || stand_ins+=(TorchSharp)
  else
    stand_ins+=(TorchSharp)
  fi
  if [ ${#stand_ins[@]} -eq 0 ]; then
    echo false
  else
    local IFS=';'
    echo "${stand_ins[*]}"
  fi
}

# ---- 4. Installing ---------------------------------------------------------------------------------------------------

prepare() {
  say "Setting up (once). Asking the package feed what it has ..."
  local stand_ins
  stand_ins="$(ask_feed)"
  say "  stand-ins for packages that this feed or machine lacks: ${stand_ins/false/none}"
  local props="<Project><PropertyGroup><UseStandIns>$stand_ins</UseStandIns></PropertyGroup></Project>"
  [ -f "$ROOT/DistTune.local.props" ] && [ "$(cat "$ROOT/DistTune.local.props")" = "$props" ] || printf '%s\n' "$props" > "$ROOT/DistTune.local.props"
  if uses_stand_in TorchSharp; then
    install_native
  fi
  setup_key > "$STAMPS/prepared"
}

install_native() {
  local missing
  missing="$(missing_native)"
  [ -n "$missing" ] || return 0
  local cure="apt-get update && apt-get install -y --no-install-recommends $missing"
  command -v apt-get > /dev/null ||
    fail "libtorch and a C++ compiler are missing and this machine has no apt-get ($missing)" "use Debian 12 or Ubuntu, or a machine whose libstdc++ has $TORCHSHARP_NEEDS"
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo > /dev/null || fail "missing: $missing. Installing them needs root, and there is no sudo" "run as root: $cure"
    if [ -t 0 ]; then
      as_root=(sudo)
    else
      sudo -n true 2> /dev/null || fail "missing: $missing. Installing them needs root, and sudo wants a password" "sudo sh -c '$cure'"
      as_root=(sudo -n)
    fi
  fi
  say "Will install with apt-get: $missing (about 700 MB on disk)"
  mkdir -p "$STAMPS"
  "${as_root[@]}" apt-get update > "$STAMPS/apt.log" 2>&1 || say "  apt-get update failed; trying with the lists that are there"
  # shellcheck disable=SC2086
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing >> "$STAMPS/apt.log" 2>&1 ||
    fail "apt-get could not install $missing: $(grep -m1 -E '^(E|Err):?' "$STAMPS/apt.log" || tail -n 1 "$STAMPS/apt.log")" "check the network, then: $cure"
}

plan_only() {
  say "Found: $("$DOTNET" --version 2> /dev/null || echo 'an SDK') in $DOTNET_ROOT"
  if is_prepared; then
    say "Packages: set up ($(sed -nE 's/.*<UseStandIns>(.*)<\/UseStandIns>.*/stand-ins: \1/p' "$ROOT/DistTune.local.props"))"
  else
    say "Would ask the package feed what it has and write DistTune.local.props"
    has_new_libstdcxx || say "TorchSharp's native glue needs $TORCHSHARP_NEEDS, which this machine lacks: its stand-in over the system's libtorch would be used"
  fi
  local missing
  missing="$(missing_native)"
  if [ -n "$missing" ] && ! has_new_libstdcxx; then
    say "Would install with apt-get: $missing"
  fi
  if is_built product; then say "Built: yes"; else say "Would build DistTune (Release)"; fi
}

# ---- 5. Building -----------------------------------------------------------------------------------------------------

# A build is current if no file or folder of the sources is newer than its stamp.
is_built() {
  local stamp="$STAMPS/built-$1"
  [ -f "$stamp" ] && [ -x "$CLI" ] || return 1
  local sources=("$ROOT/src" "$ROOT/aspire" "$ROOT/protos" "$ROOT/Directory.Build.props" "$ROOT/Directory.Build.targets" "$ROOT/Directory.Packages.props" "$ROOT/DistTune.local.props")
  [ "$1" = product ] || sources+=("$ROOT/tests" "$ROOT/DistTune.sln")
  [ -z "$(find "${sources[@]}" -newer "$stamp" -print -quit 2> /dev/null)" ]
}

build() {
  local started=$SECONDS targets=("$ROOT/src/DistTune.Cli/DistTune.Cli.csproj" "$ROOT/aspire/DistTune.AppHost/DistTune.AppHost.csproj" "$ROOT/src/DistTune.Coordinator/DistTune.Coordinator.csproj" "$ROOT/src/DistTune.Worker/DistTune.Worker.csproj")
  [ "$1" = product ] || targets=("$ROOT/DistTune.sln")
  say "Building DistTune ($1) ..."
  # The stamp is taken before: what changes during the build is built again.
  touch "$STAMPS/building-$1"
  local target log="$STAMPS/build.log"
  : > "$log"
  for target in "${targets[@]}"; do
    [ -f "$target" ] || continue
    "$DOTNET" build "$target" -c Release -v q --nologo -nodeReuse:false >> "$log" 2>&1 || {
      grep -E 'error' "$log" | sort -u | head -n 20 >&2
      fail "building ${target#"$ROOT"/} failed; all of it is in ${log#"$ROOT"/}" "mend the errors above, then run the command again"
    }
  done
  mv "$STAMPS/building-$1" "$STAMPS/built-$1"
  [ "$1" = product ] || cp -p "$STAMPS/built-$1" "$STAMPS/built-product"
  say "Built in $((SECONDS - started)) s."
}
