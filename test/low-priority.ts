import { setPriority } from 'node:os'

// Loaded before a test file: it, and what it starts, has what the others leave of the cores.
setPriority(5)
