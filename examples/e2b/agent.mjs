// An agent in JavaScript whose tool is a sandbox, by E2B's own client: it knows nothing of this library.
//
// Start `interpreter-tools serve`, paste the exports that it prints (E2B_API_URL, E2B_SANDBOX_URL, E2B_API_KEY), then
// `npm install @e2b/code-interpreter` and `node agent.mjs`. The model is a script, so that this needs no key of one:
// give `ask` the messages of your own model's API in its place.
import { Sandbox } from '@e2b/code-interpreter'

const script = [
  { code: "sales = {'May': 3, 'June': 4, 'July': 5}\nsum(sales.values()) / len(sale)" },
  { code: 'sum(sales.values()) / len(sales)' },
  (messages) => ({ text: `On average ${messages.at(-1).content} were sold in a month.` }),
]

async function ask(messages) {
  const next = script[messages.filter((message) => message.role === 'assistant').length]
  return typeof next === 'function' ? next(messages) : next
}

// The variables of a cell are there for the next one; an error is a result that the model reads.
async function runPython(sandbox, code) {
  const { error, text, logs } = await sandbox.runCode(code)
  return error ? `${error.name}: ${error.value}` : text ?? logs.stdout.join('')
}

const sandbox = await Sandbox.create()
try {
  const messages = [{ role: 'user', content: 'How many were sold in a month, on average?' }]
  for (let turn = 0; turn < 10; turn++) {
    const answer = await ask(messages)
    messages.push({ role: 'assistant', content: answer.text ?? answer.code })
    if (answer.text) {
      console.log(`agent: ${answer.text}`)
      break
    }
    const result = await runPython(sandbox, answer.code)
    console.log(`tool: ${result}`)
    messages.push({ role: 'tool', content: result })
  }
} finally {
  await sandbox.kill()
}
