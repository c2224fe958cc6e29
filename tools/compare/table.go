package main

import (
	"fmt"
	"slices"
	"strings"
)

// serverTable collects the rows of compareServers.
type serverTable struct {
	names []string // of the servers
	rows  []serverRow
}

// serverRow has the samples of each server, in the order of serverTable.names.
type serverRow struct {
	what    string
	samples [][]sample
}

// print prints two tables: the rates, and the processor times.
func (t *serverTable) print() {
	fmt.Print("\nOperations per second (events, for scan and batches): the median, with the least and the most.\n\n")
	t.printTable(rateRatios, func(s sample) float64 { return s.perSecond }, func(samples []sample) string {
		return spread(rates(samples))
	})
	fmt.Print("\nProcessor time per operation, in microseconds, of user mode and kernel: server + client. The ratios are of the servers.\n\n")
	t.printTable(timeRatios, func(s sample) float64 { return s.serverMicros }, func(samples []sample) string {
		client := column(samples, func(s sample) float64 { return s.clientMicros })
		server := column(samples, func(s sample) float64 { return s.serverMicros })
		return fmt.Sprintf("%.1f + %.1f", median(server), median(client))
	})
}

// printTable prints one column for each server, with cell, and one for each ratio of medians of
// value.
func (t *serverTable) printTable(ratios []ratio, value func(sample) float64, cell func([]sample) string) {
	ratios = slices.DeleteFunc(slices.Clone(ratios), func(r ratio) bool {
		return !slices.Contains(t.names, r.of) || !slices.Contains(t.names, r.by)
	})
	head := append([]string{"workload"}, t.names...)
	for _, r := range ratios {
		head = append(head, r.of+" ÷ "+r.by)
	}
	printRow(head)
	printRow(slices.Repeat([]string{"---"}, len(head)))
	for _, row := range t.rows {
		cells := []string{row.what}
		for _, samples := range row.samples {
			cells = append(cells, cell(samples))
		}
		for _, r := range ratios {
			of := median(column(row.samples[slices.Index(t.names, r.of)], value))
			by := median(column(row.samples[slices.Index(t.names, r.by)], value))
			cells = append(cells, fmt.Sprintf("%.2f", of/by))
		}
		printRow(cells)
	}
}

func printRow(cells []string) { fmt.Println("| " + strings.Join(cells, " | ") + " |") }
