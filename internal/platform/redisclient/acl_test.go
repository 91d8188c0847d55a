package redisclient

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// deploy/redis/users.acl permits each service exactly the commands that it needs, and
// docs/operations.md lists them.
func TestCommands_matchUsersACL(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../deploy/redis/users.acl")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := strings.ReplaceAll(string(page), `\|`, "|")
	for user, commands := range map[string]Commands{"parley-chat": ChatService, "parley-ws": WSServer, "parley-sync": SyncService} {
		line := regexp.MustCompile(`(?m)^user ` + user + ` on #[A-Z_0-9]+ resetkeys ~parley:\* resetchannels &parley:\* -@all (.*)$`).FindStringSubmatch(string(text))
		if line == nil {
			t.Errorf("no user %s with the keys and topics of Parley alone", user)
			continue
		}
		var permitted Commands
		for word := range strings.FieldsSeq(line[1]) {
			permitted = append(permitted, strings.TrimPrefix(word, "+"))
		}
		if !slices.Equal(join(permitted), commands) {
			t.Errorf("%s may run\n%v, needs\n%v", user, join(permitted), commands)
		}
		for _, name := range commands {
			if !regexp.MustCompile(`[\s` + "`" + `]` + regexp.QuoteMeta(name) + `[\s,` + "`" + `]`).MatchString(listed) {
				t.Errorf("docs/operations.md does not list %s", name)
			}
		}
	}
}
