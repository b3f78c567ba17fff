package agent

import "latchkey/internal/logon"

// Notify lets tests play service manager.
var Notify = notify

// Server is the authority that an agent asks first.
func Server(a *Agent) logon.Authority { return a.server }
