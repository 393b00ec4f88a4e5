# The guard: it stands at the far end of a line and runs one job after the other, in any POSIX shell. The shell
# that the line was opened with reads this text; after it come orders, a line each. Those that begin with a dot are for the
# listener, which hears them while a job runs; all others are for the runner. What the guard tells is framed: byte 30,
# the nonce, a letter, words, a newline; on stderr too where a job is over, so that what belongs to it is told from what
# follows.
#
# Set before it: _N the nonce; _L a third of the lease, in seconds; _C how the cookies of all that is its own begin;
# _D not empty if it has a folder of its own to make and to remove; _n a newline. What a login exports under a name that is
# assigned here would reach the jobs with another value: hence these names.
# Descriptors: 3 the orders, 5 and 6 stderr and stdout; whoever holds 7 belongs to the job; 8 releases one that is held;
# 9 is its script.
# Bash says that a signal has ended a job, and lets the last part of a pipe set variables, only where it is told to.
[ "$BASH_VERSION" ] && { set +o posix; shopt -s lastpipe; }
exec 3<&0 5>&2 6>&1 </dev/null 2>/dev/null
_d= _h= _i= _s= _u= _w= _R= _W= _K= _k=
_n1=$_n$_n$_n$_n$_n$_n$_n$_n$_n$_n
_n2=$_n1$_n1$_n1$_n1$_n1$_n1$_n1$_n1$_n1$_n1
_n3=$_n2$_n2$_n2$_n2$_n2$_n2$_n2$_n2$_n2$_n2
[ "$_D" ] && _D=$(umask 077; mktemp -d "${TMPDIR:-/tmp}/mstream-XXXXXX") && export MSTREAM_TMP="$_D"

# The number of the process that calls this: _q.
self() { for _q in /proc/self/task/*; do _q=${_q##*/}; done; }
say() { printf '\036%s %s\n' "$_N" "$*" >&6; }
end() { printf '\036%s E\n' "$_N" >&5; say E "$@"; }

# Who belongs to group and session $1, carries the cookie $2 or descends from one of these: _M. Nobody is named twice,
# nor the dead, nor the guard itself. Those of the group: _G.
seek() {
  _M=' ' _G=' ' _T= _Z=' '
  for _q in $(grep -lszF "MSTREAM_STEP=$2" /proc/[0-9]*/environ); do _q=${_q#/proc/}; _M="$_M${_q%/*} "; done
  case $1$_M in ' ') _M=; return;; esac
  _l=$(cat /proc/[0-9]*/stat) _I=$IFS; IFS=$_n; set -f
  for _l in $_l; do
    _q=${_l%% *}; _l=${_l##*) }
    case $_l in Z*|X*) _Z="$_Z$_q "; continue;; esac
    _l=${_l#* }; _p=${_l%% *}; _l=${_l#* }; _g=${_l%% *}; _l=${_l#* }; _l=${_l%% *}
    _T="$_T$_n$_q:$_p"
    [ "$1" ] && case $1 in "$_g") _M="$_M$_q " _G="$_G$_q ";; "$_l"|"$_q") _M="$_M$_q ";; esac
  done
  _g=1
  while [ "$_g" ]; do
    _g=
    for _l in $_T; do
      _q=${_l%:*}; _p=${_l#*:}
      case $_M in *" $_q "*) ;; *" $_p "*) _M="$_M$_q " _g=1;; esac
    done
  done
  IFS=$_I; set +f
  _O=$_M; _M=
  for _q in $_O; do case " $_M $_Z $$ $_Q $_R $_W " in *" $_q "*) ;; *) _M="$_M $_q";; esac; done
}

# Sends signal $1 to all of $2 and $3, to each once, and wakes those who are stopped, so that they hear it.
hit() {
  seek "$2" "$3"
  _O=
  for _q in $_M; do case $_G in *" $_q "*) ;; *) _O="$_O $_q";; esac; done
  for _q in "$1" CONT; do
    [ "$2" ] && kill -"$_q" -"$2"
    [ "$_O" ] && kill -"$_q" $_O
  done
}

# Kills until nobody is left; those who freeze first cannot fork away.
slay() {
  for _z in 1 2 3 4 5 6 7 8; do
    seek "$1" "$2"
    [ "$_M" ] || return
    kill -STOP $_M
    [ "$1" ] && kill -KILL -"$1"
    kill -KILL $_M
  done
}

# Names them, as the answer to question $1.
list() {
  seek "$2" "$3"
  for _q in $_M; do
    _l=$(tr '\0\n' '  ' <"/proc/$_q/cmdline" | cut -c1-200)
    [ "$_l" ] || read -r _l <"/proc/$_q/comm"
    say L "$1" "$_q" "$_l"
  done
  say D "$1"
}

# Ends all that the guard has started.
bye() {
  hit TERM '' "$_C"
  for _z in 1 2 3; do
    [ "$_M" ] || break
    sleep 1
    seek '' "$_C"
  done
  slay '' "$_C"
  [ "$_D" ] && rm -rf -- "$_D"
}

# Ends without a search: nobody is left.
quit() {
  [ "$_D" ] && rm -rf -- "$_D"
  kill "$_W"
  say Q
  exit
}

# Answers question $1: whether something listens on the port that is $2 in hexadecimal.
port() {
  _p=0
  while read -r _q _l _z _g _z; do case $_l:$_g in *":$2:0A") _p=1;; esac; done <<E
$(cat /proc/net/tcp /proc/net/tcp6)
E
  say P "$1" $_p
}
# Whether the file $2 is there.
file() { if [ -e "$2" ]; then say P "$1" 1; else say P "$1" 0; fi; }

# Lets a held job go, and says when.
go() { say T; echo; }

# Tells when process $1 waits for the line that lets it go, or has had the time to get there.
held() {
  for _z in 1 2 3 4 5 6 7 8 9 10; do
    read -r _l <"/proc/$1/syscall" || break
    case $_l in '0 0x8 '*|'63 0x8 '*|'3 0x8 '*) break;; esac
    sleep .02
  done
  say W
}

# Looks for program $1: _q. A path, because some shells run what they have built in without starting it anew, and the
# cookie would not be seen.
find() {
  case $1 in */*) _q=$1; [ -e "$_q" ]; return;; esac
  _I=$IFS; IFS=:; set -f
  for _q in $PATH; do _q=${_q:-.}/$1; [ -f "$_q" ] && [ -x "$_q" ] && break; _q=; done
  IFS=$_I; set +f
  [ "$_q" ]
}
find setsid; _t=$_q

# Where it is counted how many processes were killed here because there was no memory left: _K; how many: _k.
for _q in /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control; do [ -r "$_q" ] && _K=$_q; done
starved() { [ "$_K" ] && while read -r _l _q; do case $_l in oom_kill) _k=$_q;; esac; done <"$_K"; }

# Becomes the job: the function x sets its variables, _d is its folder, _h says whether it is held, _u whom it runs as,
# _v the names of its variables. _w are the plain words that are started instead where the first is a program of the
# system: no other is sure to start without a shell.
be() {
  x
  [ -z "$_d" ] || CDPATH= cd -- "$_d" || { say F "the folder $_d cannot be used"; exit 126; }
  [ "$_w" ] && find "${_w%% *}" && case $_q in /bin/*|/sbin/*|/usr/bin/*|/usr/sbin/*) set -- $_w;; esac
  if ! find "$1"; then
    case $1 in */*) say F "\`$1\` does not exist";; *) say F "\`$1\` was not found in PATH";; esac
    exit 127
  fi
  if [ -z "$_u" ] && ! { [ -f "$_q" ] && [ -x "$_q" ]; }; then say F "\`$1\` is not a program that may be run"; exit 126; fi
  shift
  set -- "$_q" "$@"
  if [ "$_u" ]; then
    if [ "$(id -u)" != 0 ]; then
      find sudo || { say F "to run as user $_u, sudo is needed, or a login as root"; exit 126; }
      set -- "$_q" -n --preserve-env="$_v" -u "$_u" -- "$@"
    elif find runuser; then
      set -- "$_q" -u "$_u" -- "$@"
    else
      find su && set -- "$_q" -m -s /bin/sh "$_u" -c 'exec "$0" "$@"' "$@"
    fi
  fi
  [ "$_h" ] || exec 8<&-
  self
  say S "$_q"
  echo "$_q"
  exec $_t "$@" 7>&"$_y" 1>&6 2>&5 4<&- 5>&- 6>&-
}

# Gives it what the functions stdin and script print, where _i and _s say so. What a shell says of a job that a signal has
# ended stands before the last line.
feed() {
  case $_i$_s in
    '') (be "$@") 8<&0 </dev/null;;
    i) { stdin | (be "$@"); } 8<&0;;
    s) { script | (be "$@") 9<&0 </dev/null; } 8<&0;;
    *) { stdin | { script | (be "$@") 9<&0 <&4; } 4<&0; } 8<&0;;
  esac
  _r=$?
  say X "$_r"
  echo "=$_r"
}

# Whether anybody is left of the job whose first process was $1: one of its group, or one who holds 7, which is then what
# is 6 here. Only those that have been started since can be, and the system counts them.
left() {
  kill -0 -"$1" && return
  _p=$1
  while read -r _l _l _l _l _q </proc/loadavg; do
    case $((_q - _p)) in 0) return 1;; -*|????*) break;; esac
    while [ "$_p" -lt "$_q" ]; do
      _p=$((_p + 1))
      [ "/proc/$_p/fd/7" -ef /proc/self/fd/6 ] && return
    done
  done
  for _q in /proc/[0-9]*/fd/7; do [ "$_q" -ef /proc/self/fd/6 ] && return; done
  return 1
}

# Runs a job that reads nothing from the guard: it costs one process less. That a signal has ended it, the shell says
# where it gives itself a name.
quick() {
  echo sh >&2
  _y=6
  _p=$(be "$@" 8<&0 </dev/null)
  _r=$?
  _l=sh
  [ "$_r" -gt 128 ] && read -r _l </proc/self/comm
  case $_l in sh) _g=;; *) _g=s;; esac
  starved
  [ "$_k" = "$_c" ] || say O
  if [ "$_p" ] && left "$_p"; then
    say X "$_r"
    say G $_g
  else
    printf '\036%s E\n' "$_N" >&5
    printf '\036%s X %s\n\036%s E %s\n' "$_N" "$_r" "$_N" "$_g" >&6
  fi
}

# Runs any job. It is over when nobody holds 7 any more, and nobody of its group is left.
fed() {
  _y=1
  if [ "$BASH_VERSION" ]; then
    feed "$@" 2>&1 | { _m=; while IFS= read -r _l; do _m=$_m$_l$_n; done; _m=${_m%"$_n"}; }
  else
    _m=$(feed "$@" 2>&1)
  fi
  _p=${_m%%"$_n"*}; _g=${_m#*"$_n"}; _g=${_g%=*}
  case $_p in ''|*[!0-9]*) _p= _g=;; esac
  [ "$_g" ] && _g=s
  starved
  [ "$_k" = "$_c" ] || say O
  if [ "$_p" ] && kill -0 -"$_p"; then say G $_g; else end $_g; fi
}

job() {
  starved
  _c=$_k
  case $_i$_s$_f in '') quick "$@";; *) fed "$@";; esac
  _d= _h= _i= _s= _u= _w=
}

run() {
  trap : PIPE HUP
  self
  _R=$_q
  # Not every shell says of what it substitutes that a signal has ended it.
  _f=$BASH_VERSION$YASH_VERSION$ZSH_VERSION
  if { echo sh >&2; } 2>/proc/self/comm; then exec 2>/proc/self/comm; else _f=f; fi
  printf '\036%s R\n' "$_N" >&5
  say R "$_D"
  while IFS= read -r _l; do eval "$_l"; done
}

# Ends everything when no sign of life has come for the whole lease.
watch() {
  trap '_b=3' USR1
  trap 'kill $_S; exit' TERM
  _b=3
  while [ $_b -gt 0 ]; do
    _b=$((_b - 1))
    sleep "$_L" & _S=$!
    while kill -0 $_S; do wait $_S; done
  done
  bye
  kill -KILL "$_Q" $$
}
beat() { kill -USR1 "$_W"; }

listen() {
  trap : PIPE HUP
  # Whoever ends what belongs to the run, on this host too, leaves those alone who clean up.
  unset MSTREAM_RUN
  self
  _Q=$_q
  watch >/dev/null </dev/null 3<&- 5>&- 6>&- &
  _W=$!
  while IFS= read -r _l; do
    case $_l in
      .*) eval "${_l#.}";;
      *) printf '%s\n' "$_l";;
    esac
  done <&3
  # What the runner was about to start is found in the next round. It is gone when nobody reads any more.
  while bye; echo exit; do sleep .2; done
  kill "$_W"
}
# In a pipe, bash would not say how a job has ended.
if [ "$BASH_VERSION" ]; then eval 'exec 4< <(listen); run <&4 3<&- 4<&-'; else listen | run 3<&-; fi
