// An app with the code of docs/clients.md: it asks the questions in its arguments, one after the
// other, and prints what happens. "(speech)" speaks again and again until there is an answer, and
// "(rejected)" is lost without a turn.

import kotlin.system.exitProcess
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking

val LIVETOKEN_URL: String = System.getenv("LIVETOKEN_URL")
val LOUD = ByteArray(16_000) { n -> if (n % 64 < 32) 40 else -40 }
val QUIET = ByteArray(3_200) // 0.1 seconds

fun main(questions: Array<String>): Unit = runBlocking {
    val happened = Channel<String>(Channel.UNLIMITED)
    fun tell(what: String) {
        println(what)
        happened.trySend(what)
    }
    val conversation =
        Conversation(
            object : Listener {
                override fun heard(sound: ByteArray) = println("heard ${sound.size}")

                override fun interrupted() = println("interrupted")

                override fun lost(texts: List<String>) = tell("lost ${texts.joinToString()}")

                override fun forgotten() = println("forgotten")

                override fun turnEnded() = tell("turn")
            }
        )
    val running = launch {
        try {
            conversation.run()
        } catch (refused: Refused) {
            println("refused ${refused.reason}")
            exitProcess(0)
        }
    }
    for (question in questions) {
        when (question) {
            "(speech)" ->
                do {
                    conversation.speak(LOUD)
                    repeat(8) {
                        delay(100)
                        conversation.speak(QUIET)
                    }
                } while (happened.tryReceive().getOrNull() != "turn")
            else -> {
                conversation.say(question)
                val end = if (question == "(rejected)") "lost $question" else "turn"
                while (happened.receive() != end) continue
            }
        }
    }
    running.cancel()
    exitProcess(0)
}
