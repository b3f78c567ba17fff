// Package manual writes a program's manual pages and shell completions from its
// commands, so that neither says what the program does not do.
//
// It refuses to know more than the commands say of themselves: a text that is
// missing on a page is missing in --help too.
package manual

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// Section is where the pages belong: both programs are for administrators.
const Section = "8"

// Write writes pages and completions below a folder, as packages install them
// below /usr/share.
func Write(root *cobra.Command, version, dir string) error {
	files, err := Files(root, version)
	if err != nil {
		return err
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, text, 0o644))
		if err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}

// Files are all that Write writes, by path.
func Files(root *cobra.Command, version string) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, c := range append([]*cobra.Command{root}, offered(root)...) {
		out["man/man"+Section+"/"+pageName(c)+"."+Section] = page(root, c, version)
	}
	for name, write := range map[string]func(*bytes.Buffer) error{
		"bash-completion/completions/" + root.Name():         func(b *bytes.Buffer) error { return root.GenBashCompletionV2(b, true) },
		"zsh/site-functions/_" + root.Name():                 func(b *bytes.Buffer) error { return root.GenZshCompletion(b) },
		"fish/vendor_completions.d/" + root.Name() + ".fish": func(b *bytes.Buffer) error { return root.GenFishCompletion(b, true) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			return nil, fmt.Errorf("completing: %w", err)
		}
		out[name] = b.Bytes()
	}
	return out, nil
}

// offered are a command's verbs and nouns that users are shown.
func offered(c *cobra.Command) []*cobra.Command {
	var out []*cobra.Command
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "help" && sub.Name() != "completion" {
			out = append(out, sub)
		}
	}
	return out
}

func pageName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }
