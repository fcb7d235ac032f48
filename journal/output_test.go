package journal_test

import "otad/journal"

func jobWithOutput(j journal.Job) journal.Job {
	j.Output = "/dev/mmcblk0p3"
	return j
}

// outputRecord is a record of a job whose package goes to a device.
func outputRecord() journal.Record {
	return journal.Record{State: "Downloading", Job: jobWithOutput(goodJob()), Generation: 3, OwnSuffix: true}
}
