package dcbtest

import "slices"

// Cases returns all cases. Their names are unique.
func Cases() []Case {
	return slices.Concat(
		eventCases(),
		appendCases(),
		appendLimitCases(),
		conditionCases(),
		retryCases(),
		matchCases(),
		queryLimitCases(),
		randomCases(),
		readCases(),
		pageCases(),
		ownershipCases(),
		waitCases(),
		streamCases(),
		followCases(),
		contextCases(),
		closeCases(),
		concurrencyCases(),
		handleCases(),
		reopenCases(),
		historyCases(),
	)
}
