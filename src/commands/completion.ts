/** `dormouse completion SHELL`: a few lines that ask dormouse itself what may stand there (candidates.ts), so that they never grow old. */
import { usage } from './admin-connection.ts';
import type { CommandContext } from './command.ts';

const BASH = `# bash completion of dormouse: source <(dormouse completion bash)
_dormouse() {
  local candidates
  candidates=$(dormouse __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null) || return
  local IFS=$'\\n'
  COMPREPLY=($candidates)
}
complete -o default -F _dormouse dormouse
`;

const ZSH = `#compdef dormouse
# zsh completion of dormouse: source <(dormouse completion zsh), or as _dormouse in a folder of $fpath
_dormouse() {
  local -a candidates
  candidates=("\${(@f)$(dormouse __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  candidates=("\${(@)candidates:#}")
  if (( \${#candidates} )); then
    compadd -a candidates
  else
    _files
  fi
}
if [ "\${funcstack[1]}" = "_dormouse" ]; then
  _dormouse "$@"
else
  compdef _dormouse dormouse
fi
`;

const FISH = `# fish completion of dormouse: dormouse completion fish > ~/.config/fish/completions/dormouse.fish
function __dormouse_candidates
  set -l words (commandline -opc) (commandline -ct)
  set -l found (dormouse __complete $words[2..-1] 2>/dev/null)
  if test (count $found) -gt 0
    printf '%s\\n' $found
  else
    __fish_complete_path (commandline -ct)
  end
end
complete -c dormouse -f -a '(__dormouse_candidates)'
`;

export async function run(context: CommandContext, args: readonly string[]): Promise<number> {
  const script = new Map([
    ['bash', BASH],
    ['zsh', ZSH],
    ['fish', FISH],
  ]).get(args[0] ?? '');
  if (script === undefined)
    throw usage(`there is no completion for ${JSON.stringify(args[0])}; there are bash, zsh and fish`);
  context.out(script);
  return 0;
}
