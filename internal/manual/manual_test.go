package manual_test

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"latchkey/internal/manual"
)

func TestWhatRoffWouldTakeForACommandIsText(t *testing.T) {
	t.Parallel()
	root := &cobra.Command{Use: "tool", Short: "Do it", Long: ".so /etc/shadow\n'quoted\n a\\fBb\\fR", RunE: func(*cobra.Command, []string) error { return nil }}
	files, err := manual.Files(root, "1")
	if err != nil {
		t.Fatal(err)
	}
	page := string(files["man/man8/tool.8"])
	for _, want := range []string{"\n\\&.so /etc/shadow\n\\&'quoted\n a\\efBb\\efR\n", "tool \\- Do it"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}
