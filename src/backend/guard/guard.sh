# The guard: it stands at the far end of a line and runs one job after the other, in any POSIX shell. The shell
# that the line was opened with reads this text; after it come orders, a line each. Those that begin with a dot are for the
# listener, which hears them while a job runs; all others are for the runner. What the guard tells is framed: byte 30,
# the nonce, a letter, words, a newline; on stderr too where a job is over, so that what belongs to it is told from what
# follows.
#
# Set before it: N the nonce; L a third of the lease, in seconds; C how the cookies of all that is its own begin;
# D not empty if it has a folder of its own to make and to remove; n a newline.
# Descriptors: 3 the orders, 5 and 6 stderr and stdout; whoever holds 7 belongs to the job; 8 releases one that is held;
# 9 is its script.
# Bash says that a signal has ended a job, and lets the last part of a pipe set variables, only where it is told to.
[ "$BASH_VERSION" ] && { set +o posix; shopt -s lastpipe; }
exec 3<&0 5>&2 6>&1 </dev/null 2>/dev/null
d= h= i= s= u= R= W=
[ "$D" ] && D=$(umask 077; mktemp -d "${TMPDIR:-/tmp}/mstream-XXXXXX") && export MSTREAM_TMP="$D"

say() { printf '\036%s %s\n' "$N" "$*" >&6; }
end() { printf '\036%s E\n' "$N" >&5; say E "$@"; }

# Who belongs to group and session $1, carries the cookie $2 or descends from one of these: M. Nobody is named twice,
# nor the dead, nor the guard itself.
seek() {
  M=' ' T= Z=' '
  for q in $(grep -lszF "MSTREAM_STEP=$2" /proc/[0-9]*/environ); do q=${q#/proc/}; M="$M${q%/*} "; done
  case $1$M in ' ') M=; return;; esac
  l=$(cat /proc/[0-9]*/stat) I=$IFS; IFS=$n; set -f
  for l in $l; do
    q=${l%% *}; l=${l##*) }
    case $l in Z*|X*) Z="$Z$q "; continue;; esac
    l=${l#* }; p=${l%% *}; l=${l#* }; g=${l%% *}; l=${l#* }; l=${l%% *}
    T="$T$n$q:$p"
    [ "$1" ] && case $1 in "$l"|"$g"|"$q") M="$M$q ";; esac
  done
  g=1
  while [ "$g" ]; do
    g=
    for l in $T; do
      q=${l%:*}; p=${l#*:}
      case $M in *" $q "*) ;; *" $p "*) M="$M$q " g=1;; esac
    done
  done
  IFS=$I; set +f
  O=$M; M=
  for q in $O; do case " $M $Z $$ $Q $R $W " in *" $q "*) ;; *) M="$M $q";; esac; done
}

# Sends signal $1 to all of $2 and $3, and wakes those who are stopped, so that they hear it.
hit() {
  seek "$2" "$3"
  for q in "$1" CONT; do
    [ "$2" ] && kill -"$q" -"$2"
    [ "$M" ] && kill -"$q" $M
  done
}

# Kills until nobody is left; those who freeze first cannot fork away.
slay() {
  for z in 1 2 3 4 5 6 7 8; do
    seek "$1" "$2"
    [ "$M" ] || return
    kill -STOP $M
    [ "$1" ] && kill -KILL -"$1"
    kill -KILL $M
  done
}

# Names them, as the answer to question $1.
list() {
  seek "$2" "$3"
  for q in $M; do
    l=$(tr '\0\n' '  ' <"/proc/$q/cmdline" | cut -c1-200)
    [ "$l" ] || read -r l <"/proc/$q/comm"
    say L "$1" "$q" "$l"
  done
  say D "$1"
}

# Ends all that the guard has started.
bye() {
  hit TERM '' "$C"
  for z in 1 2 3; do
    [ "$M" ] || break
    sleep 1
    seek '' "$C"
  done
  slay '' "$C"
  [ "$D" ] && rm -rf -- "$D"
}

# Ends without a search: nobody is left.
quit() {
  [ "$D" ] && rm -rf -- "$D"
  kill "$W"
  say Q
  exit
}

# Answers question $1: whether something listens on the port that is $2 in hexadecimal.
port() {
  p=0
  while read -r q l z g z; do case $l:$g in *":$2:0A") p=1;; esac; done <<E
$(cat /proc/net/tcp /proc/net/tcp6)
E
  say P "$1" $p
}
# Whether the file $2 is there.
file() { if [ -e "$2" ]; then say P "$1" 1; else say P "$1" 0; fi; }

# Tells when process $1 waits for the line that lets it go, or has had the time to get there.
held() {
  for z in 1 2 3 4 5 6 7 8 9 10; do
    read -r l <"/proc/$1/syscall" || break
    case $l in '0 0x8 '*|'63 0x8 '*|'3 0x8 '*) break;; esac
    sleep .02
  done
  say W
}

# Looks for program $1: q. A path, because some shells run what they have built in without starting it anew, and the
# cookie would not be seen.
find() {
  case $1 in */*) q=$1; [ -e "$q" ]; return;; esac
  I=$IFS; IFS=:; set -f
  for q in $PATH; do q=${q:-.}/$1; [ -f "$q" ] && [ -x "$q" ] && break; q=; done
  IFS=$I; set +f
  [ "$q" ]
}
find setsid; t=$q

# Becomes the job: x sets its variables, d is its folder, h says whether it is held, u whom
# it runs as, v the names of its variables.
be() {
  x
  [ -z "$d" ] || CDPATH= cd -- "$d" || { say F "the folder $d cannot be used"; exit 126; }
  if ! find "$1"; then
    case $1 in */*) say F "\`$1\` does not exist";; *) say F "\`$1\` was not found in PATH";; esac
    exit 127
  fi
  if [ -z "$u" ] && ! { [ -f "$q" ] && [ -x "$q" ]; }; then say F "\`$1\` is not a program that may be run"; exit 126; fi
  shift
  set -- "$q" "$@"
  if [ "$u" ]; then
    if [ "$(id -u)" != 0 ]; then
      find sudo || { say F "to run as user $u, sudo is needed, or a login as root"; exit 126; }
      set -- "$q" -n --preserve-env="$v" -u "$u" -- "$@"
    elif find runuser; then
      set -- "$q" -u "$u" -- "$@"
    else
      find su && set -- "$q" -m -s /bin/sh "$u" -c 'exec "$0" "$@"' "$@"
    fi
  fi
  [ "$h" ] || exec 8<&-
  read -r p l </proc/self/stat
  say S "$p"
  echo "$p"
  exec $t "$@" 7>&1 1>&6 2>&5 4<&- 5>&- 6>&-
}

# Gives it what the functions stdin and script print, where i and s say so. What a shell says of a job that a signal has
# ended stands before the last line.
feed() {
  case $i$s in
    '') (be "$@") 8<&0 </dev/null;;
    i) { stdin | (be "$@"); } 8<&0;;
    s) { script | (be "$@") 9<&0 </dev/null; } 8<&0;;
    *) { stdin | { script | (be "$@") 9<&0 <&4; } 4<&0; } 8<&0;;
  esac
  r=$?
  say X "$r"
  echo "=$r"
}

# Runs a job. It is over when nobody holds 7 any more, and nobody of its group is left.
job() {
  if [ "$BASH_VERSION" ]; then
    feed "$@" 2>&1 | { m=; while IFS= read -r l; do m=$m$l$n; done; m=${m%"$n"}; }
  else
    m=$(feed "$@" 2>&1)
  fi
  d= h= i= s= u=
  p=${m%%"$n"*}; g=${m#*"$n"}; g=${g%=*}
  case $p in ''|*[!0-9]*) p= g=;; esac
  [ "$g" ] && g=s
  if [ "$p" ] && kill -0 -"$p"; then say G $g; else end $g; fi
}

run() {
  trap : PIPE HUP
  read -r R l </proc/self/stat
  printf '\036%s R\n' "$N" >&5
  say R "$D"
  while IFS= read -r l; do eval "$l"; done
}

# Ends everything when no sign of life has come for the whole lease.
watch() {
  trap 'b=3' USR1
  trap 'kill $S; exit' TERM
  b=3
  while [ $b -gt 0 ]; do
    b=$((b - 1))
    sleep "$L" & S=$!
    while kill -0 $S; do wait $S; done
  done
  bye
  kill -KILL "$Q" $$
}
beat() { kill -USR1 "$W"; }

listen() {
  trap : PIPE HUP
  read -r Q l </proc/self/stat
  watch >/dev/null </dev/null 3<&- 5>&- 6>&- &
  W=$!
  while IFS= read -r l; do
    case $l in
      .*) eval "${l#.}";;
      *) printf '%s\n' "$l";;
    esac
  done <&3
  bye
  kill "$W"
}
# In a pipe, bash would not say how a job has ended.
if [ "$BASH_VERSION" ]; then eval 'exec 4< <(listen); run <&4 3<&- 4<&-'; else listen | run 3<&-; fi
