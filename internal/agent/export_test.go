package agent

import "latchkey/internal/logon"

// Server is the authority that an agent asks first.
func Server(a *Agent) logon.Authority { return a.server }
