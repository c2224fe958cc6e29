package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dcbstore/dcb/cmd/dcbstore/internal/observe"
	"github.com/dcbstore/dcb/cmd/dcbstore/internal/serve"
	"github.com/dcbstore/dcb/stores"
)

const serveHelp = `Serve the store to other programs until a signal stops the server. Each protocol has its own listener:

  --dcb    dcb's own protocol, for URLs dcb://HOST:7322 and dcb+unix:///PATH
  --umadb  UmaDB's protocol over gRPC, for URLs dcb+umadb://HOST:50051 and UmaDB's clients
  --http   HTTP: JSON, server-sent events, health and metrics

The server prints the addresses on standard output as soon as it accepts calls. Port 0 selects a free port. It logs on standard error, and
never logs events, tags or keys.

Security. Without --keys, every caller that reaches the server can read and append. So the server listens on 127.0.0.1 by default, and
refuses an address that other machines can reach unless it has TLS (--tls-cert, --tls-key) and keys (--keys, or client certificates with
--tls-client-ca). --insecure overrides this. A UNIX socket needs neither; the permissions of its directory protect it.
A line of the file of keys is

  NAME PERMISSIONS KEY

PERMISSIONS are read, append, or read,append. KEY has at least 16 bytes, or is sha256: followed by the hash of the key in hexadecimal.
An HTTP client sends the header Authorization: Bearer KEY. A URL contains the key as dcb://:KEY@host, or DCB_KEY does.
SIGHUP reloads keys and certificates. If a file is invalid, the previous content stays in use.

Stopping. SIGINT or SIGTERM stops the server: /readyz and the gRPC health service report that it is not ready, calls under way finish,
subscriptions end, and the store is closed. The exit code is 0. Calls that have not finished after --stop-timeout are cut off. A second
signal ends the process at once; acknowledged appends are durable even then.

Monitoring. GET /metrics is for Prometheus, /healthz reports that the process is alive, and /readyz that it accepts calls. Traces are sent
to an OpenTelemetry collector if the environment names one (OTEL_EXPORTER_OTLP_ENDPOINT and related variables). The folder deploy of the
source has a dashboard, alert rules and a systemd unit.`

const serveExample = `  dcbstore serve
  dcbstore serve --store disk:/var/lib/events --http off
  dcbstore serve --dcb :7322 --umadb :50051 --http :8080 --tls-cert cert.pem --tls-key key.pem --keys keys
  dcbstore serve --dcb unix:/run/dcb.sock --umadb off --http off`

func (p *program) serveCommand() *cobra.Command {
	var config serve.Config
	var logs logFlags
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Serve the store to other programs",
		Long:    serveHelp,
		Example: serveExample,
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.serve(cmd.Context(), config, logs) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&config.DCB, "dcb", serve.DefaultDCB, "listen for dcb's protocol on `HOST:PORT`, unix:PATH, or off")
	flags.StringVar(&config.UmaDB, "umadb", serve.DefaultUmaDB, "listen for UmaDB's protocol (gRPC) on `HOST:PORT`, or off")
	flags.StringVar(&config.HTTP, "http", serve.DefaultHTTP, "listen for HTTP on `HOST:PORT`, or off")
	flags.StringVar(&config.TLSCert, "tls-cert", "", "PEM `FILE` with the server's certificate, followed by the intermediate certificates")
	flags.StringVar(&config.TLSKey, "tls-key", "", "PEM `FILE` with the private key of the certificate")
	flags.StringVar(&config.TLSClientCA, "tls-client-ca", "", "require client certificates that an authority in PEM `FILE` has signed")
	flags.StringVar(&config.KeysFile, "keys", "", "require a key that is in `FILE`")
	flags.BoolVar(&config.Insecure, "insecure", false, "allow addresses that other machines can reach, without TLS or keys")
	flags.StringSliceVar(&config.Origins, "origins", nil, "allow browsers to call from these `ORIGINS`, for example https://app.example.com")
	limitFlags(flags, &config)
	flags.DurationVar(&config.Keepalive, "keepalive", 0, "ping silent connections of UmaDB's protocol after `TIME` (default 20s)")
	flags.DurationVar(&config.StopTimeout, "stop-timeout", serve.DefaultStopTimeout, "cut off calls that are still under way `TIME` after the signal")
	flags.StringVar(&logs.format, "log-format", "text", "log as text or json")
	flags.StringVar(&logs.level, "log-level", "info", "lowest level to log: debug, info, warn or error")
	flags.StringVar(&config.Pprof, "pprof", "", "serve profiles at /debug/pprof/ on the loopback address `HOST:PORT`")
	return cmd
}

func limitFlags(flags *pflag.FlagSet, config *serve.Config) {
	limits := &config.Limits
	flags.Var((*byteSize)(&limits.MessageBytes), "max-message", "refuse requests larger than `BYTES`, for example 8MiB (default 80MiB)")
	flags.IntVar(&limits.Connections, "max-connections", 0, "accept at most `N` connections on each listener (default 10000)")
	flags.IntVar(&limits.Calls, "max-calls", 0, "allow at most `N` calls under way on a connection, subscriptions included (default 4096)")
	flags.IntVar(&limits.QueryItems, "max-items", 0, "refuse queries of more than `N` items (default 65536)")
	flags.DurationVar(&limits.CallTime, "call-timeout", 0, "end calls that take longer than `TIME`, except waits and subscriptions (default 1m)")
}

// gcPercent is the garbage collector's target percentage, unless GOGC sets it.
const gcPercent = 400

// logFlags are the flags that configure the log.
type logFlags struct{ format, level string }

// logger returns a logger that writes to w.
func (l logFlags) logger(w io.Writer) (*slog.Logger, error) {
	options := new(slog.HandlerOptions)
	switch l.level {
	case "debug":
		options.Level = slog.LevelDebug
	case "info":
		options.Level = slog.LevelInfo
	case "warn":
		options.Level = slog.LevelWarn
	case "error":
		options.Level = slog.LevelError
	default:
		return nil, usagef("use debug, info, warn or error", "--log-level %q is not a level", l.level)
	}
	switch l.format {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, usagef("use text or json", "--log-format %q is not a format", l.format)
}

func (p *program) serve(ctx context.Context, config serve.Config, logs logFlags) error {
	log, err := logs.logger(p.err)
	if err != nil {
		return err
	}
	slog.SetDefault(log) // the stores log to the default logger
	if os.Getenv("GOGC") == "" {
		// Little memory stays in use, and calls leave much garbage. Collecting less often raises the
		// appends per second by a sixth.
		debug.SetGCPercent(gcPercent)
	}
	if !stores.Lasts(p.named()) {
		log.Warn("the store is in memory; its events are lost when the server stops")
	}
	build := stamp()
	config.Store, config.Log, config.Build = p.named(), log, observe.Build{Version: build.Version, Commit: build.Commit}
	config.Open = func(ctx context.Context) (stores.Store, error) { return stores.Open(ctx, p.named()) }
	config.Ready = func(a serve.Addresses) { p.printAddresses(a, logs.format == "json") }
	err = serve.Run(ctx, config)
	if refusal, ok := errors.AsType[*serve.Refusal](err); ok {
		return usage{err, refusal.Hint}
	}
	return err
}

// printAddresses prints the addresses of the listeners: one line each, or one JSON object.
func (p *program) printAddresses(a serve.Addresses, asJSON bool) {
	if asJSON {
		_ = p.printJSON(a) // output remembers the error
		return
	}
	for _, listening := range []struct{ name, address string }{{"dcb", a.DCB}, {"umadb", a.UmaDB}, {"http", a.HTTP}, {"pprof", a.Pprof}} {
		if listening.address != "" {
			fmt.Fprintf(p.out, "%s %s\n", listening.name, listening.address)
		}
	}
}

// byteSize is the value of a flag in bytes.
type byteSize int

func (b *byteSize) String() string {
	if *b == 0 {
		return ""
	}
	return strconv.Itoa(int(*b))
}

// Type implements pflag.Value.
func (*byteSize) Type() string { return "bytes" }

// Set parses a number of bytes, with an optional unit after it.
func (b *byteSize) Set(text string) error {
	unit := 1
	for _, u := range []struct {
		name  string
		bytes int
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}} {
		if number, found := strings.CutSuffix(text, u.name); found {
			text, unit = number, u.bytes
			break
		}
	}
	number, err := strconv.ParseUint(text, 10, 31)
	if err != nil || number*uint64(unit) > 1<<40 {
		return errors.New("it must be a number of bytes, or of KiB, MiB or GiB")
	}
	*b = byteSize(number) * byteSize(unit)
	return nil
}
