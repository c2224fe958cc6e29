package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// helpCommand replaces cobra's, for which an unknown topic is not an error.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND | TOPIC]",
		Short: "Explain a command or a topic",
		RunE: func(cmd *cobra.Command, args []string) error {
			page, _, err := cmd.Root().Find(args)
			if err != nil {
				return usagef("dcbstore help lists the commands and topics", "there is no help on %q", strings.Join(args, " "))
			}
			page.InitDefaultHelpFlag()
			return page.Help()
		},
	}
}

// helpTopics returns the pages of dcbstore help that do not belong to a command.
func helpTopics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "query", Short: "How a query is written", Long: queryHelp},
		{Use: "events", Short: "How events are written as JSON", Long: eventsHelp},
		{Use: "stores", Short: "The URLs of stores", Long: storesHelp},
		{Use: "exit-codes", Short: "What the exit codes mean", Long: exitCodesHelp},
	}
}

const queryHelp = `A query selects events by type and by tag. Each argument is one item of the query. The query selects an event if
the event matches one of its items. An item is a list of words:

  Type             events of that type
  Type,Type        events of one of those types
  @tag             events with that tag
  @tag @tag        events with all of those tags
  Type,Type @tag   events of one of those types that have that tag
  *                every event

So a comma means or, a space means and, and another argument means or. Types and tags are compared as a whole,
byte by byte; there are no wildcards. A type or tag that contains a space, a comma or a double quote, or begins
with @ or -, is written in double quotes, as a string of JSON: "a type", @"a \"tag\"". Put an item of more than
one word in single quotes for the shell.

  dcbstore read                                              everything
  dcbstore read @student:ann                                 all about Ann
  dcbstore read 'StudentJoinedCourse @student:ann'           the courses that Ann joined
  dcbstore read @student:ann @course:go                      all about Ann, and all about the course
  dcbstore read 'StudentJoinedCourse @student:ann @course:go'   whether Ann joined that course
  dcbstore read 'CourseRegistered,CourseClosed' @student:ann    two items
  dcbstore read '@"course:Go, for all"'                      a tag with a comma and spaces`

const eventsHelp = `Events are lines of JSON, one object per line:

  {"type":"StudentJoinedCourse","tags":["student:ann","course:go"],"data":"{\"by\":\"web\"}"}

  type         what happened; required
  tags         the things that the event concerns, a list of strings
  data         any text; JSON is also written as a string
  dataBase64   the data in base64, if it is not valid UTF-8
  id           a UUID, unique in the store: makes an append repeatable
  metadata     an object of strings

dcbstore read and dcbstore follow also print position and recordedAt. dcbstore append ignores these two, because
the store assigns them; so the output of one store is input for another. Any other member is an error.

  dcbstore read --store "$OLD" | dcbstore append --store "$NEW" --batch 1000`

const storesHelp = `The store is named by a URL, in --store or in the environment variable DCB_STORE:

  disk:PATH                             in a directory, which is made if it is missing
  mem:                                  in memory, forgotten when the command ends
  postgres://user@host:5432/database    in PostgreSQL; any URL that libpq and pgx understand
  dcb://host:7322                       on a server (dcbstore serve); dcb://a,b,c names several
  dcb+unix:///PATH                      on a server, through a UNIX socket
  dcb+umadb://host:50051                on a server that speaks UmaDB's protocol: dcbstore serve, or UmaDB's own

Where none is named it is disk:dcb-data: the directory dcb-data where the command is called. One process at a time may have a store in
a directory open; dcbstore verify and dcbstore backup work beside it.

A PostgreSQL URL may have two parameters besides those of libpq:

  dcb_schema=NAME       the schema that the events are in (default dcb)
  dcb_index=tags        how events are indexed: tags (the default) or tsvector

For example postgres://localhost/events?dcb_schema=school. The password may stand in the URL, but it is better kept in the environment
variable PGPASSWORD or in ~/.pgpass. dcbstore never prints it.

A server may ask for a key. It may stand in the URL, as dcb://:KEY@host, but it is better kept in the environment variable DCB_KEY. The
URL may have these parameters:

  tls=on                encrypts the connection
  ca=FILE               trusts the certificates in FILE instead of the system's
  cert=FILE             the client's own certificate, for a server that asks for one, and certkey=FILE, its key

dcbstore stats, verify and backup are for stores in a directory.

dcbstore speedrun and dcbstore bench write what they need into the store that they measure.`
