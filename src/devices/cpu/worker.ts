// The entry of a worker in a browser.
import { serve } from './serve.js'

serve({
  post: (message) => self.postMessage(message),
  listen: (receive) => self.addEventListener('message', (event) => receive(event.data)),
})
