import java.nio.file.Path;
import org.neo4j.configuration.connectors.BoltConnector;
import org.neo4j.configuration.helpers.SocketAddress;
import org.neo4j.harness.Neo4jBuilders;

/** A Neo4j with Bolt on loopback and no login: DIRECTORY PORT. It ends with its process. */
public class Neo4jServer {
  public static void main(String[] arguments) throws InterruptedException {
    var address = new SocketAddress("127.0.0.1", Integer.parseInt(arguments[1]));
    var server = Neo4jBuilders.newInProcessBuilder(Path.of(arguments[0]))
        .withDisabledServer()
        .withConfig(BoltConnector.enabled, true)
        .withConfig(BoltConnector.listen_address, address)
        .build();
    System.out.println(server.boltURI());
    Thread.currentThread().join();
  }
}
