package manual

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Arguments are what a use names behind the verb: NAME is obligatory, [NAME] is
// not. Whoever forgets one is told which.
func Arguments(use string) cobra.PositionalArgs {
	names := strings.Fields(use)[1:]
	return func(c *cobra.Command, args []string) error {
		if len(args) > len(names) {
			return fmt.Errorf("%q is one argument too many: %s", args[len(names)], written(c, names))
		}
		for _, name := range names[len(args):] {
			if !strings.HasPrefix(name, "[") {
				return fmt.Errorf("%s is missing: %s", name, written(c, names))
			}
		}
		return nil
	}
}

func written(c *cobra.Command, names []string) string {
	return strings.Join(append([]string{c.CommandPath()}, names...), " ")
}

// Offer lets the shell complete a flag by the values that it takes, and by no
// names of files.
func Offer[T ~string](c *cobra.Command, flag string, values ...T) {
	var words []cobra.Completion
	for _, v := range values {
		words = append(words, string(v))
	}
	if err := c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag is defined by whoever calls
	}
}
